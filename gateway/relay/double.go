//go:build !mutant

package relay

// doubleDispatch and nextExtra are the broken build's: see double_mutant.go.
func (x *Exchange) doubleDispatch() {}

func (x *Exchange) nextExtra() {}
