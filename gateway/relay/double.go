package relay

// doubleDispatch does nothing in a sound build.
func (x *Exchange) doubleDispatch() {}

// nextExtra goes on with a second answer.
func (x *Exchange) nextExtra() {}
