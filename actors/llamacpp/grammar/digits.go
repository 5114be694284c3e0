package grammar

import (
	"strconv"
	"strings"
)

// maxDigits bounds integers without a maximum.
const maxDigits = 16

// integers is the rule of the integers from low to high; nil: without bound on that side. low must not
// exceed high.
func integers(low, high *int64) node {
	var a alt
	if low == nil || *low < 0 {
		from, to := int64(1), (*int64)(nil)
		if high != nil && *high < 0 {
			from = -*high
		}
		if low != nil {
			n := -*low
			to = &n
		}
		a = append(a, seq{literal("-"), naturals(from, to)})
	}
	if high == nil || *high >= 0 {
		from := int64(0)
		if low != nil {
			from = max(from, *low)
		}
		a = append(a, naturals(from, high))
	}
	return a
}

// naturals are the numbers from low, at least 0, to high.
func naturals(low int64, high *int64) node {
	from, a := strconv.FormatInt(low, 10), alt{}
	if high == nil {
		a = append(a, between(from, strings.Repeat("9", len(from))))
		if len(from) < maxDigits {
			a = append(a, seq{class("1-9"), rep{class("0-9"), len(from), maxDigits - 1}})
		}
		return a
	}
	to := strconv.FormatInt(*high, 10)
	for ; len(from) < len(to); from = "1" + strings.Repeat("0", len(from)) {
		a = append(a, between(from, strings.Repeat("9", len(from))))
	}
	return append(a, between(from, to))
}

// between has the numbers of as many digits as both have.
func between(from, to string) node {
	rest := len(from) - 1
	zeros, nines := strings.Repeat("0", max(rest, 0)), strings.Repeat("9", max(rest, 0))
	switch {
	case from == "":
		return seq{}
	case from == to:
		return literal(from)
	case from[0] == to[0]:
		return seq{literal(from[:1]), between(from[1:], to[1:])}
	}
	first, last, a := from[0], to[0], alt{}
	var tail alt
	if from[1:] != zeros {
		a = append(a, seq{literal(from[:1]), between(from[1:], nines)})
		first++
	}
	if to[1:] != nines {
		tail = alt{seq{literal(to[:1]), between(zeros, to[1:])}}
		last--
	}
	if first <= last {
		a = append(a, seq{digitClass(first, last), anyDigits(rest)})
	}
	return append(a, tail...)
}

func digitClass(first, last byte) node {
	if first == last {
		return literal(string(first))
	}
	return class(string(first) + "-" + string(last))
}

func anyDigits(n int) node {
	if n == 0 {
		return seq{}
	}
	return rep{class("0-9"), n, n}
}
