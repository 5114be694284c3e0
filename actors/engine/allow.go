package engine

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/lotabots/lotabots/cluster/spec"
)

// A reach is the set of URLs that requests may go to.
type reach []*url.URL

// newReach reads the operator's prefixes.
func newReach(prefixes []string) (reach, error) {
	r := make(reach, 0, len(prefixes))
	for _, text := range prefixes {
		u, err := plainURL(text)
		if err != nil {
			return nil, fmt.Errorf("the prefix %.200q in engines.external-urls: %w", text, err)
		}
		r = append(r, u)
	}
	return r, nil
}

// allows tells whether u, which plainURL has read or which was made of such a URL and a plain path, is
// below a prefix: same scheme, host and port, and the prefix's path up to a whole segment.
func (r reach) allows(u *url.URL) bool {
	for _, p := range r {
		if p.Scheme == u.Scheme && p.Host == u.Host && (p.Path == "" || u.Path == p.Path || strings.HasPrefix(u.Path, p.Path+"/")) {
			return true
		}
	}
	return false
}

// plainURL reads an absolute HTTP URL that can mean only one thing, whoever reads it: no user, query,
// fragment or escape, no dots that a server might resolve. Scheme and host come out in lower case, the
// port is always there, and the path has no slash at its end.
func plainURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("it is no URL")
	}
	u.Scheme = strings.ToLower(u.Scheme)
	port := u.Port()
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("it must begin with http:// or https://")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.ContainsAny(text, "#?@\\"):
		return nil, fmt.Errorf("it must have no user, query or fragment")
	case u.Opaque != "" || u.Hostname() == "" || !plainHost(u.Hostname()):
		return nil, fmt.Errorf("its host must be a name or an address")
	case u.Path != "" && !plainPath(u.Path) || u.RawPath != "" || strings.Contains(text, "%"):
		return nil, fmt.Errorf("its path must be plain: no escapes, empty or dotted segments")
	case port == "" && strings.HasSuffix(u.Host, ":"):
		return nil, fmt.Errorf("its port is missing")
	case port == "" && u.Scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return &url.URL{Scheme: u.Scheme, Host: host + ":" + port, Path: strings.TrimSuffix(u.Path, "/")}, nil
}

// plainHost takes letters, digits and what addresses need; a dot at the end would be another spelling.
func plainHost(host string) bool {
	return plainBytes(host, "-._:") && !strings.HasSuffix(host, ".")
}

// plainPath tells whether a path means the same to everybody: segments of harmless characters, none of
// them empty, but for a slash at the end, and none of dots alone.
func plainPath(path string) bool {
	if !strings.HasPrefix(path, "/") {
		return false
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(path[1:], "/"), "/") {
		if strings.Trim(segment, ".") == "" && len(path) > 1 {
			return false
		}
		if !plainBytes(segment, "-._~:@!$&'()*+,=") {
			return false
		}
	}
	return true
}

// checkURL checks an external engine's URL against what the operator allows.
func (p *Presets) checkURL(o options) error {
	_, _, err := externalURL(o, p.current())
	return err
}

// urlOf reads the option url, whoever may call it.
func urlOf(o options) (*url.URL, error) {
	if o["url"] == "" {
		return nil, invalid("options.url", "the preset external needs the option url")
	}
	u, err := plainURL(o["url"])
	if err != nil {
		return nil, invalid("options.url", fmt.Sprintf("the option url is %.200q; %v", o["url"], err))
	}
	u.Path = strings.TrimSuffix(u.Path, "/v1") // requests' paths begin with it
	return u, nil
}

// externalURL returns the engine's address and the reach of its requests.
func externalURL(o options, c Config) (*url.URL, reach, error) {
	r, err := newReach(c.ExternalURLs)
	if err != nil {
		return nil, nil, &spec.Error{Code: spec.CodeEngineUnavailable, Message: err.Error(), Hint: "Correct engines.external-urls in the node's configuration"}
	}
	u, err := urlOf(o)
	if err != nil {
		return nil, nil, err
	}
	requests := *u
	requests.Path += "/v1"
	if !r.allows(&requests) {
		return nil, nil, &spec.Error{
			Code: spec.CodeEngineUnavailable, Param: "options.url",
			Message: fmt.Sprintf("this node may not call %s: none of its engines.external-urls is a prefix of it", u),
			Hint:    "Have the operator of the node add the URL to engines.external-urls",
		}
	}
	return u, r, nil
}
