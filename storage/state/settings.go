package state

import "bytes"

// A Setting is one value that the whole cluster has.
type Setting struct{ Name, Value string }

// Settings returns every setting.
func (s *Store) Settings() []Setting {
	return current(s, func(v view) []Setting {
		var out []Setting
		v.walk([]byte{settingsTable}, nil, func(key, value []byte) bool {
			out = append(out, Setting{string(bytes.Clone(key[1:])), string(value)})
			return true
		})
		return out
	})
}
