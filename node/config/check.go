package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lotabots/lotabots/actors/engine/account"
	"github.com/lotabots/lotabots/actors/engine/custom"
	"github.com/lotabots/lotabots/cluster/spec"
)

const sliceKind = reflect.Slice

// A Problem is one thing wrong with a configuration.
type Problem struct {
	Key     string `json:"key,omitempty"`     // dotted
	Value   string `json:"value,omitempty"`   // as it was given; passwords in URLs are left out
	Source  string `json:"source,omitempty"`  // where it was given
	Reason  string `json:"reason"`            // why it cannot be
	Example string `json:"example,omitempty"` // a value that can be
	Nearest string `json:"nearest,omitempty"` // for a key that is not known: the one that was probably meant

	// Unread: the value could not be read at all, or its key is not known.
	Unread bool `json:"-"`
}

func (p Problem) String() string {
	s := p.Reason
	switch {
	case p.Unread:
		if p.Source != "" {
			s = p.Source + ": " + s
		}
	case p.Key != "":
		s = fmt.Sprintf("%s = %q: %s", p.Key, p.Value, p.Reason)
		if p.Source != "" && p.Source != FromDefault {
			s += ", from the " + p.Source
		}
	}
	if p.Nearest != "" {
		s += fmt.Sprintf("; did you mean %q?", p.Nearest)
	}
	if p.Example != "" {
		s += fmt.Sprintf(" (for example %s)", p.Example)
	}
	return s
}

// Problems is everything wrong with a configuration.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, x := range p {
		lines[i] = "  " + x.String()
	}
	return fmt.Sprintf("the configuration has %d problem(s):\n%s", len(p), strings.Join(lines, "\n"))
}

func (p *Problems) add(x Problem) { *p = append(*p, x) }

func (p *Problems) unknown(source, key string, known []Field) {
	keys := make([]string, len(known))
	for i, f := range known {
		keys[i] = f.Key
	}
	p.add(Problem{Key: key, Source: source, Reason: fmt.Sprintf("there is no key %q", key), Nearest: Nearest(key, keys), Unread: true})
}

// check appends what is wrong with the values of c.
func (p *Problems) check(c Config, origin map[string]string) {
	values := toMap(c)
	examples := map[string]string{}
	for _, f := range Schema() {
		examples[f.Key] = f.Example
	}
	unread := map[string]bool{}
	for _, x := range *p {
		unread[x.Key] = x.Unread
	}
	bad := func(key, reason string) {
		if !unread[key] { // else its value is not the one that was given
			p.add(Problem{Key: key, Value: shown(values[key]), Source: origin[key], Reason: reason, Example: examples[key]})
		}
	}
	if err := spec.NodeID(c.Node.ID).Valid(); err != nil {
		bad("node.id", "want 1 to 40 of a-z, 0-9 and '-'")
	}
	if c.Node.Region == "" {
		bad("node.region", "must not be empty")
	}
	if c.Node.Data == "" {
		bad("node.data", "must not be empty")
	}
	if len(c.Node.Roles) == 0 {
		bad("node.roles", "want at least one role")
	}
	for _, r := range c.Node.Roles {
		if !spec.ValidRole(spec.Role(r)) {
			bad("node.roles", fmt.Sprintf("there is no role %q", r))
		}
	}
	checkAddresses(c, bad)
	checkNumbers(c, bad)
	for _, problem := range custom.Check(c.Engines.Presets) {
		bad("engines.presets", problem)
	}
	if c.Engines.User != "" {
		if _, err := account.Lookup(c.Engines.User); err != nil {
			bad("engines.user", err.Error())
		}
	}
	checkDevices(c.Devices, bad)
	checkBackup(c.Backup, bad)
	p.oneOf(bad, "devices.kind", c.Devices.Kind, "auto", "nvidia", "cpu", "simulated")
	if c.API.Usage == "late" {
		bad("api.usage", "late is no more: write journal, which makes no request wait for the disk either and loses nothing when the process is killed")
	} else {
		p.oneOf(bad, "api.usage", c.API.Usage, "journal", "durable", "off")
	}
	p.oneOf(bad, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	p.oneOf(bad, "log.format", c.Log.Format, "json", "text")
}

func checkAddresses(c Config, bad func(key, reason string)) {
	for _, a := range []struct{ key, addr string }{
		{"cluster.listen", c.Cluster.Listen}, {"cluster.advertise", c.Cluster.Advertise}, {"api.listen", c.API.Listen}, {"api.advertise", c.API.Advertise},
	} {
		if a.addr == "" && a.key != "cluster.listen" {
			continue
		}
		if err := hostPort(a.addr); err != nil {
			bad(a.key, "want HOST:PORT: "+err.Error())
		}
	}
	for _, seed := range c.Cluster.Seeds {
		if err := hostPort(seed); err != nil {
			bad("cluster.seeds", "want HOST:PORT: "+err.Error())
		}
	}
	for _, external := range c.Engines.ExternalURL {
		if !webURL(external) {
			bad("engines.external-urls", fmt.Sprintf("%q is no http or https URL", external))
		}
	}
	for _, from := range c.Models.PullURLs {
		if !webURL(from) {
			bad("models.pull-urls", fmt.Sprintf("%q is no http or https URL", from))
		}
	}
	for _, r := range c.Models.PullRanges {
		if _, err := netip.ParsePrefix(r); err != nil {
			bad("models.pull-ranges", fmt.Sprintf("%q is no address range: %v", r, err))
		}
	}
	for _, r := range c.Engines.ExternalRange {
		if _, err := netip.ParsePrefix(r); err != nil {
			bad("engines.external-ranges", fmt.Sprintf("%q is no address range: %v", r, err))
		}
	}
	if c.Telemetry.OTLP != "" && !webURL(c.Telemetry.OTLP) {
		bad("telemetry.otlp", "want an http or https URL")
	}
	if c.API.PublicURL != "" && !webURL(c.API.PublicURL) {
		bad("api.public-url", "want an http or https URL")
	}
	for _, origin := range c.API.Origins {
		if u, err := url.Parse(origin); origin != "*" && (err != nil || u.Host == "" || u.Scheme == "" || origin != u.Scheme+"://"+u.Host) {
			bad("api.cors-origins", fmt.Sprintf("%q is no origin: want such as https://chat.example.com, without a path, or *", origin))
		}
		if origin == "*" && c.API.Credentials {
			bad("api.cors-credentials", "cookies are for named origins, not for *")
		}
	}
	for _, proxy := range c.API.Proxies {
		if _, err := netip.ParsePrefix(proxy); err != nil {
			bad("api.trusted-proxies", fmt.Sprintf("%q is no address range: %v", proxy, err))
		}
	}
	if slices.Contains(c.Node.Roles, string(spec.RoleGateway)) && c.API.Listen == "" {
		bad("api.listen", "a gateway needs an address")
	}
}

func checkDevices(d Devices, bad func(key, reason string)) {
	if d.Kind == "simulated" && (d.Simulated < 1 || d.MemoryMB < 1) {
		bad("devices.simulated", "simulated devices need a number and devices.memory-mb above zero")
	}
	if d.Simulated < 0 {
		bad("devices.simulated", "must not be negative")
	}
	if d.MemoryMB < 0 {
		bad("devices.memory-mb", "must not be negative")
	}
}

// checkBackup leaves it to the node's start to say that a directory needs a
// recipient: each key by itself is fine.
func checkBackup(b Backup, bad func(key, reason string)) {
	if b.Every <= 0 {
		bad("backup.every", "want a duration above zero")
	}
	if b.Keep < 1 {
		bad("backup.keep", "want at least one")
	}
	for _, r := range b.Recipient {
		if strings.HasPrefix(r, "AGE-SECRET-KEY-") {
			bad("backup.recipient", "this is a private key: give the public one, and keep this elsewhere")
		} else if !strings.HasPrefix(r, "age1") {
			bad("backup.recipient", fmt.Sprintf("%q is no age public key", r))
		}
	}
}

// maxLinger is as long as an engine may hold a device's memory for a node that may never come back.
const maxLinger = 24 * time.Hour

func checkNumbers(c Config, bad func(key, reason string)) {
	if c.API.MaxBody < 1024 {
		bad("api.max-body", "want at least 1024 bytes")
	}
	if c.API.BodyMemory != 0 && c.API.BodyMemory < 1024 {
		bad("api.body-memory", "want 0, or at least 1024 bytes")
	}
	if c.Devices.Answers < 0 {
		bad("devices.answer-memory", "want 0, or a number of bytes")
	}
	if c.API.MinRate < 1 {
		bad("api.min-rate", "want at least 1 byte a second")
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"cluster.rejoin", c.Cluster.Rejoin}, {"api.queue-timeout", c.API.QueueTimeout}, {"api.load-timeout", c.API.LoadTimeout}, {"api.first-token-timeout", c.API.FirstToken},
		{"api.next-token-timeout", c.API.NextToken}, {"api.shutdown-timeout", c.API.ShutdownIn},
		{"placement.dead-grace", c.Placement.DeadGrace}, {"placement.drain-grace", c.Placement.DrainGrace},
	} {
		if d.value <= 0 {
			bad(d.key, "want a duration above zero")
		}
	}
	for key, n := range map[string]int{"models.fetch-rate": c.Models.FetchRate, "models.disk": c.Models.Disk, "models.verify-rate": c.Models.VerifyRate} {
		if n < 0 {
			bad(key, "want 0 or more bytes")
		}
	}
	if c.Models.Grace <= 0 {
		bad("models.gc-grace", "want a duration above zero")
	}
	if c.Models.ScrubEvery < 0 {
		bad("models.scrub-every", "want 0s or more")
	}
	if c.API.DrainNotice < 0 || c.API.DrainNotice > maxLinger {
		bad("api.drain-notice", "want 0s to 24h")
	}
	if c.Placement.SettleTime < 0 || c.Placement.SettleTime > maxLinger {
		bad("placement.settle-time", "want 0s to 24h")
	}
	if c.Engines.Linger < 0 || c.Engines.Linger > maxLinger {
		bad("engines.linger", "want 0s to 24h")
	}
	if !(c.Telemetry.Sample >= 0 && c.Telemetry.Sample <= 1) { // NaN is neither
		bad("telemetry.sample", "want 0 to 1")
	}
}

func hostPort(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is no port", port)
	}
	return nil
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func (p *Problems) oneOf(bad func(key, reason string), key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		bad(key, "want one of "+strings.Join(allowed, ", "))
	}
}

// toMap flattens c into its dotted keys.
func toMap(c Config) map[string]any {
	out := map[string]any{}
	flatten(reflect.ValueOf(c), "", out)
	return out
}

func flatten(v reflect.Value, prefix string, out map[string]any) {
	t := v.Type()
	for i := range t.NumField() {
		key := prefix + t.Field(i).Tag.Get("koanf")
		switch f := v.Field(i); {
		case f.Kind() == reflect.Struct:
			flatten(f, key+".", out)
		case f.Type() == reflect.TypeFor[time.Duration]():
			out[key] = f.Interface().(time.Duration).String()
		default:
			out[key] = f.Interface()
		}
	}
}
