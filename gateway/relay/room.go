package relay

import "github.com/lotabots/lotabots/cluster/spec"

// A Room bounds the memory that large answers, and others' things, take together.
type Room interface {
	Take(n int) bool // n bytes more; false: there is no room for them
	Back(n int)      // ends that
}

const (
	firstRead = 4 << 10
	minRead   = 1 << 10
	// freeAnswer is the size of buffer that needs no room: those are bounded by the
	// number of connections.
	freeAnswer = 16 << 10
)

// errNoRoom ends a request: the memory is this gateway's, whoever answers.
var errNoRoom = &spec.Error{Code: spec.CodeBusy, Message: "This gateway holds as many large answers and request bodies, of all clients or of this one, as it has memory for.",
	Hint: "Retry after Retry-After, ask for less at a time, or have api.body-memory raised."}

// grown is buf with room for at least minRead bytes more, of an answer that has most
// bytes at most. A larger one takes its memory of room; taken is what it has of that.
func grown(buf []byte, most int, room Room, taken *int) ([]byte, error) {
	if cap(buf)-len(buf) >= minRead {
		return buf, nil
	}
	size := max(firstRead, 2*cap(buf))
	if enough := most + minRead; size > enough && len(buf)+minRead <= enough {
		size = enough
	}
	if more := size - *taken; more > 0 && size > freeAnswer && room != nil {
		if !room.Take(more) {
			return buf, errNoRoom
		}
		*taken = size
	}
	return append(make([]byte, 0, size), buf...), nil
}

// makeRoom gives back what was taken. What an answer's memory is from then on is the
// caller's to count.
func (x *Exchange) makeRoom() {
	if x.taken > 0 {
		x.Room.Back(x.taken)
		x.taken = 0
	}
}
