package egress

import (
	"net/url"
	"path"
	"strings"
)

// Below tells whether u is under one of the URL prefixes: same scheme, host and port,
// and the prefix's path up to a whole segment. A path that a server may read otherwise
// than it is written, by dots or escapes of its signs, is under none.
func Below(prefixes []string, u *url.URL) bool {
	written := u.EscapedPath()
	lower := strings.ToLower(written)
	if u.User != nil || u.Opaque != "" || strings.Contains(written, "\\") || strings.Contains(lower, "%2e") || strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") ||
		strings.Contains(lower, "%00") || written != "" && path.Clean(written) != strings.TrimSuffix(written, "/") && written != "/" {
		return false
	}
	for _, text := range prefixes {
		p, err := url.Parse(text)
		if err != nil || !strings.EqualFold(p.Scheme, u.Scheme) || !strings.EqualFold(hostPort(p), hostPort(u)) {
			continue
		}
		if under := strings.TrimSuffix(p.EscapedPath(), "/"); written == under || strings.HasPrefix(written, under+"/") || under == "" {
			return true
		}
	}
	return false
}
