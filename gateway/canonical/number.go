package canonical

import (
	"strconv"
	"strings"
)

// zero is how value writes all zeros.
const zero = "0"

// value writes a JSON number so that those of one value are written alike: digits
// without zeros at either end, and a power of ten. What has a power that is out of all
// reason stays as it is.
func value(text []byte) string {
	s := string(text)
	digits, power := s, 0
	if at := strings.IndexAny(s, "eE"); at >= 0 {
		n, err := strconv.Atoi(strings.TrimPrefix(s[at+1:], "+"))
		if err != nil || n > 1<<20 || n < -1<<20 {
			return s
		}
		digits, power = s[:at], n
	}
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if whole, part, ok := strings.Cut(digits, "."); ok {
		digits, power = whole+part, power-len(part)
	}
	digits = strings.TrimLeft(digits, "0")
	kept := strings.TrimRight(digits, "0")
	if kept == "" {
		return zero
	}
	return sign + kept + "e" + strconv.Itoa(power+len(digits)-len(kept))
}
