package usage

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lotabots/lotabots/cluster/wire"
)

// FuzzDecode: what lies in a ledger is a record or an error, and a record's names are made such as the state takes.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{}, "")
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 7, 0x0a, 0x01, 'x'}, "acme")
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 7, 0xff}, strings.Repeat("\xff", 300))
	f.Add([]byte("12345678"), strings.Repeat("é", 127)+"\x00x")
	f.Fuzz(func(t *testing.T, value []byte, name string) {
		_, r, err := decode(make([]byte, 9), value)
		if err != nil {
			r = &wire.UsageRecord{}
		}
		r.Tenant, r.Code, r.Cache = name, name, name
		plain(r)
		for _, s := range []string{r.Tenant, r.User, r.Key, r.Deployment, r.Adapter, r.Endpoint, r.Region, r.Outcome, r.Request, r.Node, r.Code, r.Cache} {
			if len(s) > maxName || !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
				t.Errorf("%q", s)
			}
		}
	})
}
