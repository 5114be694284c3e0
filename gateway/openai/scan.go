package openai

// fields goes through the fields of a JSON object, or the elements of an array,
// in place. It takes valid JSON; of other bytes it may make anything but a panic
// or an endless loop. After next, the caller moves at behind the value.
type fields struct {
	b   []byte
	at  int
	bad bool
}

// within goes through what begins at b[at] with the brace or bracket open.
func within(b []byte, at int, open byte) fields {
	if at >= len(b) || b[at] != open {
		return fields{bad: true}
	}
	return fields{b: b, at: at + 1}
}

// next returns a field's key without its quotes, escapes left as they are; at is
// where its value begins. False: there is no further one.
func (f *fields) next() (key []byte, ok bool) {
	if !f.more('}') {
		return nil, false
	}
	end := skipString(f.b, f.at)
	if end < 0 {
		return nil, f.fail()
	}
	key = f.b[f.at+1 : end-1]
	f.at = skipSpace(f.b, end)
	if f.at >= len(f.b) || f.b[f.at] != ':' {
		return nil, f.fail()
	}
	if f.at = skipSpace(f.b, f.at+1); f.at >= len(f.b) {
		return nil, f.fail()
	}
	return key, true
}

// more moves to the next field or element; false: close comes, and at is behind it.
func (f *fields) more(closing byte) bool {
	if f.bad {
		return false
	}
	f.at = skipSpace(f.b, f.at)
	if f.at < len(f.b) && f.b[f.at] == ',' {
		f.at = skipSpace(f.b, f.at+1)
	}
	if f.at >= len(f.b) {
		return f.fail()
	}
	if f.b[f.at] == closing {
		f.at++
		return false
	}
	return true
}

func (f *fields) fail() bool {
	f.bad = true
	return false
}

// skip moves behind the value at f.at.
func (f *fields) skip() {
	if end := skipValue(f.b, f.at); end > f.at {
		f.at = end
	} else {
		f.bad = true
	}
}

func skipSpace(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\n' || b[at] == '\r' || b[at] == '\t') {
		at++
	}
	return at
}

// skipString is where the string ends that begins at b[at], or -1.
func skipString(b []byte, at int) int {
	if at >= len(b) || b[at] != '"' {
		return -1
	}
	for i := at + 1; ; {
		if i = quoteFrom(b, i); i < 0 {
			return -1
		}
		slashes := 0
		for b[i-1-slashes] == '\\' { // stops at the opening quote
			slashes++
		}
		i++
		if slashes%2 == 0 {
			return i
		}
	}
}

// skipValue is where the value ends that begins at b[at], or -1.
func skipValue(b []byte, at int) int {
	if at < 0 || at >= len(b) {
		return -1
	}
	switch b[at] {
	case '"':
		return skipString(b, at)
	case '{', '[':
		return skipNested(b, at)
	}
	for at < len(b) && !endsPlain(b[at]) {
		at++
	}
	return at
}

// endsPlain tells whether c follows a number, true, false or null.
func endsPlain(c byte) bool {
	return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t'
}

func skipNested(b []byte, at int) int {
	for depth := 0; at < len(b); {
		switch b[at] {
		case '"':
			if at = skipString(b, at); at < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
		at++
	}
	return -1
}

// number reads the whole number that begins at b[at].
func number(b []byte, at int) (n int, ok bool) {
	digits := 0
	for digits < 9 && at+digits < len(b) && b[at+digits] >= '0' && b[at+digits] <= '9' {
		n = n*10 + int(b[at+digits]-'0')
		digits++
	}
	return n, digits > 0
}
