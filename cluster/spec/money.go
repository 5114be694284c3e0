package spec

import (
	"strconv"
	"strings"
)

// Money is kept as whole billionths of the one currency that the cluster's prices are in.
const moneyDigits = 9

// ParseMoney reads a decimal number such as 0.15; the empty text is 0. What has more
// than nine digits before the point or behind it is none.
func ParseMoney(text string) (billionths uint64, ok bool) {
	if text == "" {
		return 0, true
	}
	whole, part, pointed := strings.Cut(text, ".")
	if len(whole) == 0 || len(whole) > moneyDigits || len(part) > moneyDigits || pointed && part == "" {
		return 0, false
	}
	digits := whole + part + strings.Repeat("0", moneyDigits-len(part))
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// FormatMoney writes what ParseMoney reads, with two digits behind the point at least.
func FormatMoney(billionths uint64) string {
	text := strconv.FormatUint(billionths, 10)
	if len(text) <= moneyDigits {
		text = strings.Repeat("0", moneyDigits+1-len(text)) + text
	}
	whole, part := text[:len(text)-moneyDigits], strings.TrimRight(text[len(text)-moneyDigits:], "0")
	return whole + "." + part + strings.Repeat("0", max(0, 2-len(part)))
}
