package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// pairs are KEY=VALUE flags, one each: a value may have commas.
type pairs map[string]string

// Set implements pflag.Value.
func (p pairs) Set(text string) error {
	key, value, whole := strings.Cut(text, "=")
	if !whole || key == "" {
		return fmt.Errorf("%q is not KEY=VALUE", text)
	}
	p[key] = value
	return nil
}

// Type implements pflag.Value.
func (pairs) Type() string { return "KEY=VALUE" }

// String implements pflag.Value.
func (p pairs) String() string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(p)) {
		all = append(all, key+"="+p[key])
	}
	return strings.Join(all, " ")
}
