// Package client speaks to a node's API for the command line: it finds an
// endpoint and a key (flags, a dev cluster's directory, the environment, the
// saved context), tries the cluster's nodes in turn, renews the access token of a
// session that was opened by a log-in, and turns error answers into errors that
// read well. It imports no room.
//
// Not done yet: an endpoint that takes the connection and then stands still is
// waited for as long as the caller's context allows.
package client
