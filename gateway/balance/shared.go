package balance

// A sharing is what is known of the requests that go to an instance's engine together:
// they take no slots here, for one slot does for many of them.
type sharing struct {
	shares int // that its actor takes at a time; 0: none go together
	told   int // that it has
	mine   int // this gateway's
}

// shared tells whether q goes to the instance's engine together with others.
func (in *Instance) shared(q *Query) bool {
	return q.Shared && in.sharing.shares > 0 && in.able.Can&q.Sharing == q.Sharing
}

// crowd is how much of what it takes of such requests the instance has.
func (in *Instance) crowd(q *Query) float64 {
	if s := &in.sharing; in.shared(q) {
		return float64(max(s.mine, s.told)) / float64(s.shares)
	}
	return float64(in.load()) / float64(max(in.Slots, 1))
}

// full notes that the instance has refused one more, until it is heard of again.
func (s *sharing) full() { s.told = s.shares }
