package coding

import "strings"

// The codings, by their names in headers.
const (
	Identity = ""
	Gzip     = "gzip"
	Brotli   = "br"
	Zstd     = "zstd"
)

// Known lists them for headers, the best first.
const Known = Zstd + ", " + Brotli + ", " + Gzip

// preferred are the codings in the order in which equals are chosen.
var preferred = [...]string{Zstd, Brotli, Gzip}

// Choose is the coding that an Accept-Encoding header wants most of those that are
// known, and Identity where that is better or none fits. plain tells whether an answer
// without any coding is acceptable, as it is unless the header says otherwise.
func Choose(accept string) (coding string, plain bool) {
	if accept == "" {
		return Identity, true
	}
	weights := map[string]int{}
	for entry := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(entry, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "x-gzip" {
			name = Gzip
		}
		if q, ok := weight(params); ok && name != "" {
			if _, again := weights[name]; !again {
				weights[name] = q
			}
		}
	}
	of := func(name string) int {
		if q, ok := weights[name]; ok {
			return q
		}
		return weights["*"] // 0: not asked for
	}
	best, most := Identity, 0
	for _, name := range preferred {
		if q := of(name); q > most {
			best, most = name, q
		}
	}
	q, listed := weights["identity"]
	if listed && q > most {
		return Identity, true
	}
	if star, ok := weights["*"]; !listed && ok {
		q, listed = star, true
	}
	return best, !listed || q > 0
}

// weight reads ;q= in thousandths; nothing is 1. What is no weight is false, and the
// entry then not counted.
func weight(params string) (int, bool) {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1000, true
	}
	name, value, ok := strings.Cut(params, "=")
	value = strings.TrimSpace(value)
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") || value == "" || len(value) > 5 {
		return 0, false
	}
	whole, fraction, _ := strings.Cut(value, ".")
	if len(whole) != 1 || whole[0] < '0' || whole[0] > '1' || len(fraction) > 3 {
		return 0, false
	}
	q := int(whole[0]-'0') * 1000
	for i, unit := 0, 100; i < len(fraction); i, unit = i+1, unit/10 {
		if fraction[i] < '0' || fraction[i] > '9' {
			return 0, false
		}
		q += int(fraction[i]-'0') * unit
	}
	return q, q <= 1000
}
