package spec

import (
	"errors"
	"fmt"
	"strings"
)

// ErrBroken is wrapped by the error of a Stream that ended before its answer did.
var ErrBroken = errors.New("stream broke before the answer was complete")

// An Error is a failure that somebody outside the process will read. Its code
// is one of the catalogue and never changes its meaning.
type Error struct {
	Code    Code
	Message string // what happened, in this case
	Param   string // the field or flag at fault, if one is
	Hint    string // what to do, where this case knows better than the catalogue
	// EngineCode is what an engine calls it, where it is not one of the catalogue's.
	EngineCode string
	Err        error // cause, for logs only
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an *Error of the catalogue's code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the first *Error in err's chain, or CodeInternal.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Explain tells a person at a terminal what happened and what to do about it.
func Explain(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	return fmt.Sprintf("%s (%s). %s.", strings.TrimSuffix(e.Message, "."), e.Code, strings.TrimSuffix(e.Advice(), "."))
}

// Advice is what to do about it: the hint of the case, or else the catalogue's, which is
// of a field only where one is named.
func (e *Error) Advice() string {
	switch {
	case e.Hint != "":
		return e.Hint
	case e.Code == CodeInvalidRequest && e.Param == "":
		return "Correct what the message tells of."
	}
	return e.Code.Lookup().Remedy
}

// A Code names a class of failure for programs.
type Code string

// The catalogue. See Catalogue for status, title and remedy.
const (
	CodeInternal          Code = "internal"
	CodeInvalidRequest    Code = "invalid_request"
	CodeInvalidJSON       Code = "invalid_json"
	CodeBodyTooLarge      Code = "body_too_large"
	CodeHeadersTooLarge   Code = "headers_too_large"
	CodeMalformedBody     Code = "malformed_body"
	CodeRequestTimeout    Code = "request_timeout"
	CodeMissingKey        Code = "missing_api_key"
	CodeInvalidKey        Code = "invalid_api_key"
	CodeRevokedKey        Code = "revoked_api_key"
	CodeExpiredKey        Code = "expired_api_key"
	CodeForbidden         Code = "permission_denied"
	CodeModelNotFound     Code = "model_not_found"
	CodeModelForbidden    Code = "model_not_allowed"
	CodeRateLimited       Code = "rate_limit_exceeded"
	CodeBudget            Code = "budget_exceeded"
	CodeLimitUnknown      Code = "limit_unavailable"
	CodeBusy              Code = "no_capacity"
	CodeOverloaded        Code = "overloaded"
	CodeNotReady          Code = "model_not_ready"
	CodeUpstream          Code = "engine_error"
	CodeStreamBroken      Code = "stream_broken"
	CodeDeadline          Code = "deadline_exceeded"
	CodeDraining          Code = "node_draining"
	CodeNoLeader          Code = "no_leader"
	CodeOutcomeUnknown    Code = "outcome_unknown"
	CodeStaleState        Code = "state_too_old"
	CodeStateDiverged     Code = "state_diverged"
	CodeClientGone        Code = "client_gone"
	CodeNotFound          Code = "not_found"
	CodeMethodNotAllowed  Code = "method_not_allowed"
	CodeNotAcceptable     Code = "not_acceptable"
	CodeAlreadyExists     Code = "already_exists"
	CodeConflict          Code = "conflict"
	CodeTokenInvalid      Code = "join_token_invalid"
	CodeTokenExpired      Code = "join_token_expired"
	CodeTokenExhausted    Code = "join_token_exhausted"
	CodeTokenRevoked      Code = "join_token_revoked"
	CodeNodeRemoved       Code = "node_removed"
	CodeFeatureLevel      Code = "feature_level_too_low"
	CodeOutOfMemory       Code = "device_memory_exhausted"
	CodeStaleEpoch        Code = "stale_placement_epoch"
	CodeEngineStart       Code = "engine_start_failed"
	CodeEngineUnknown     Code = "engine_unknown"
	CodeEngineUnavailable Code = "engine_unavailable"
	CodeModelDamaged      Code = "model_damaged"
	CodeUnsupported       Code = "unsupported_parameter"
	CodeUnsupportedModel  Code = "unsupported_by_model"
	CodeUnsupportedMedia  Code = "unsupported_media_type"
	CodeContextLength     Code = "context_length_exceeded"
	CodeAddressForbidden  Code = "address_not_allowed"
	CodeEndpointForbidden Code = "endpoint_not_allowed"
	CodeInvalidToken      Code = "invalid_access_token"
	CodeExpiredToken      Code = "expired_access_token"
	CodeInvalidRefresh    Code = "invalid_refresh_token"
	CodeSessionReused     Code = "refresh_token_reused"
	CodeSessionEnded      Code = "session_ended"
	CodeUserDisabled      Code = "user_disabled"
	CodeLoginFailed       Code = "login_failed"
	CodeTooManyFailures   Code = "too_many_failures"
	CodeSSOFailed         Code = "single_sign_on_failed"
	CodeSSOUnconfigured   Code = "single_sign_on_not_configured"
)

// A Class is what the catalogue knows about a code.
type Class struct {
	Status int    // HTTP
	Title  string // what this class of failure is
	Remedy string // what to do about it
}

// Catalogue has every public code.
var Catalogue = map[Code]Class{
	CodeInternal:          {500, "The server failed in a way that it did not expect.", "Retry; if it persists, send the request id to whoever runs the cluster."},
	CodeInvalidRequest:    {400, "The request is not valid.", "Correct the named field."},
	CodeInvalidJSON:       {400, "The body is not valid JSON.", "Send one JSON object with Content-Type application/json."},
	CodeBodyTooLarge:      {413, "The body is larger than the limit.", "Send less, or have the operator raise api.max-body."},
	CodeHeadersTooLarge:   {431, "The request's headers are larger than the limit.", "Send fewer or shorter headers."},
	CodeMalformedBody:     {400, "The body's framing is broken.", "Send the body with a Content-Length, or in whole chunks as HTTP/1.1 has them."},
	CodeRequestTimeout:    {408, "The request did not arrive in time.", "Send it again, without long pauses; a body must come at api.min-rate."},
	CodeMissingKey:        {401, "No API key was sent.", "Send Authorization: Bearer KEY."},
	CodeInvalidKey:        {401, "The API key is not known.", "Check the key for typos; create one with lotabots keys create."},
	CodeRevokedKey:        {401, "The API key has been revoked.", "Ask for a new key."},
	CodeExpiredKey:        {401, "The API key has expired.", "Ask for a new key."},
	CodeForbidden:         {403, "The key may not do this.", "Use a key that has the named scope."},
	CodeModelNotFound:     {404, "There is no such model.", "List the models with GET /v1/models."},
	CodeModelForbidden:    {403, "The key may not use this model.", "Use a key whose model patterns include it."},
	CodeRateLimited:       {429, "A limit on requests or tokens per minute is spent.", "Wait for Retry-After, or ask for a higher limit."},
	CodeBudget:            {429, "The budget of the day or month is spent.", "Wait until the named time, or ask for a larger budget."},
	CodeLimitUnknown:      {503, "Whether a limit admits the request cannot be found out at present.", "Retry in some seconds; on_partition: share has gateways go on by their share."},
	CodeBusy:              {429, "Every instance of the model is full.", "Retry after Retry-After."},
	CodeOverloaded:        {503, "This node has more to do than it can.", "Retry after Retry-After, or send the request to another node."},
	CodeNotReady:          {503, "No instance of the model is ready.", "Wait until it has loaded; lotabots status shows how far it is."},
	CodeUpstream:          {502, "The engine failed.", "Retry; the engine's last lines are in the node's log."},
	CodeStreamBroken:      {502, "The engine or its node failed in the middle of the answer.", "Send the request again; what came so far is incomplete."},
	CodeDeadline:          {504, "The request's deadline passed.", "Allow more time, or send less work."},
	CodeDraining:          {503, "This node is draining.", "Send the request to another node."},
	CodeNoLeader:          {503, "The cluster has no leader at present, so nothing can be written.", "Retry in some seconds; see lotabots status if it persists."},
	CodeOutcomeUnknown:    {503, "The write may or may not have been applied.", "Retry with the same Idempotency-Key: it is applied once."},
	CodeStaleState:        {503, "This node's copy of the state is too old to answer.", "Ask another node, or wait until it has caught up."},
	CodeStateDiverged:     {503, "This node's copy of the state differs from the cluster's.", "Ask another node; take this one out with lotabots node rm and join it again with an empty data directory. Keep the old one to find out why."},
	CodeClientGone:        {499, "The client left before the answer was there.", "Keep both sides of the connection open until the answer has come."},
	CodeNotFound:          {404, "There is no such thing.", "Check the name."},
	CodeMethodNotAllowed:  {405, "The path does not take this method.", "See /openapi.json."},
	CodeNotAcceptable:     {406, "The answer cannot be given in a form that the client takes.", "Let Accept-Encoding allow identity, gzip, br or zstd."},
	CodeAlreadyExists:     {409, "It exists already.", "Choose another name, or change the existing one."},
	CodeConflict:          {409, "It was changed by somebody else in between.", "Read it again and repeat the change."},
	CodeTokenInvalid:      {401, "The join token is not known.", "Create one with lotabots tokens create --role ROLE."},
	CodeTokenExpired:      {401, "The join token has expired.", "Create a new one with lotabots tokens create."},
	CodeTokenExhausted:    {401, "The join token has no uses left.", "Create a new one with lotabots tokens create."},
	CodeTokenRevoked:      {401, "The join token has been revoked.", "Create a new one with lotabots tokens create."},
	CodeNodeRemoved:       {403, "The node has been removed from the cluster.", "Join it again under a token."},
	CodeFeatureLevel:      {409, "A member of the cluster is too old for this.", "Upgrade the members that lotabots status names."},
	CodeOutOfMemory:       {507, "The device has too little free memory for the model.", "Unload another model, lower context or slots, or add a device."},
	CodeStaleEpoch:        {409, "The command is older than what the actor has seen.", "None: the reconciler sends a newer one."},
	CodeEngineStart:       {502, "The engine did not start.", "Read the engine's last lines in this message and in the node's log."},
	CodeEngineUnknown:     {400, "There is no such engine preset.", "Use one of the presets that the message lists."},
	CodeEngineUnavailable: {503, "The engine cannot run on this node.", "Install what the message names, or use another engine."},
	CodeModelDamaged:      {502, "A model file's content does not match its digest.", "Import the model again; the damaged copy was set aside."},
	CodeUnsupported:       {400, "The engine does not support this field.", "Leave it out, or use an engine that supports it."},
	CodeUnsupportedModel:  {400, "No instance of the model can do what the request asks for.", "Use a model that can: GET /v1/models tells what each can."},
	CodeUnsupportedMedia:  {415, "The body is of a kind that is not read here.", "Send the Content-Type, and the Content-Encoding, that /docs names."},
	CodeContextLength:     {400, "The prompt is longer than the model's context.", "Shorten it, or deploy the model with a larger context."},
	CodeAddressForbidden:  {403, "The key may not be used from this address.", "Send the request from one of the key's address ranges, or have them changed."},
	CodeEndpointForbidden: {403, "The key may not use this endpoint.", "Use a key whose endpoints include it."},
	CodeInvalidToken:      {401, "The access token is not valid.", "Log in again with lotabots login."},
	CodeExpiredToken:      {401, "The access token has expired.", "Refresh it with POST /auth/v1/refresh, or log in again."},
	CodeInvalidRefresh:    {401, "The refresh token is not known.", "Log in again with lotabots login."},
	CodeSessionReused:     {401, "The refresh token had been used before, so its session was ended.", "Log in again; if it was not you who used it, tell whoever runs the cluster."},
	CodeSessionEnded:      {401, "The session has ended.", "Log in again with lotabots login."},
	CodeUserDisabled:      {401, "The user is disabled.", "Ask whoever runs the cluster to enable it."},
	CodeLoginFailed:       {401, "The name or the password is wrong.", "Check both; an administrator can set a new password with lotabots users passwd."},
	CodeTooManyFailures:   {429, "Too many attempts have failed.", "Wait for Retry-After, and check the credential."},
	CodeSSOFailed:         {401, "Single sign-on did not succeed.", "Begin again; if it persists, compare the settings oidc/* with the provider's."},
	CodeSSOUnconfigured:   {404, "This cluster has no single sign-on.", "Log in with a password, or have an administrator set oidc/issuer and oidc/client-id."},
}

// Lookup returns the class of code; an unknown one is CodeInternal's.
func (c Code) Lookup() Class {
	if k, ok := Catalogue[c]; ok {
		return k
	}
	return Catalogue[CodeInternal]
}
