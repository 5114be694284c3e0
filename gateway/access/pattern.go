package access

// Match tells whether name fits pattern, in which '*' stands for any run of
// characters, also none, and everything else for itself. It takes time at most
// len(pattern) x len(name), and allocates nothing.
//
// Where name is itself a pattern it tells whether every name that fits that one
// fits pattern too: a '*' of name can only be taken by one of pattern.
func Match[N ~string | ~[]byte](pattern string, name N) bool {
	p, n := 0, 0
	star, mark := -1, 0 // last '*' seen, and how much of name it has taken
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
