package account

import (
	"strings"
	"testing"
)

func TestMay(t *testing.T) {
	for name, c := range map[string]struct {
		status string
		root   bool
		want   string // empty: it may
	}{
		"root":               {"Name:\tx\nCapEff:\t000001ffffffffff\nCapAmb:\t0000000000000000\n", true, ""},
		"root of less":       {"CapEff:\t0000000000000021\nCapAmb:\t000001ffffffffff\n", true, "CAP_DAC_OVERRIDE, CAP_SETGID, CAP_SETUID"},
		"others":             {"CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n", false, "CAP_CHOWN"},
		"others, handed on":  {"CapEff:\t00000000000000e3\nCapAmb:\t00000000000000e3\n", false, ""},
		"others, not handed": {"CapEff:\t00000000000000e3\nCapAmb:\t0000000000000000\n", false, "CAP_CHOWN"},
		"no such line":       {"Name:\tx\n", true, "not known"},
		"no number":          {"CapEff:\tx\n", true, "invalid syntax"},
	} {
		err := may([]byte(c.status), c.root)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
