package fair

// A Priority is the band that a request waits in: a greater one is served first. The
// zero value is that of requests which say nothing.
type Priority int8

// The priorities.
const (
	Low Priority = iota - 1
	Normal
	High
	Critical
)

// Bands is how many priorities there are.
const Bands = int(Critical-Low) + 1

var priorityNames = [Bands]string{"low", "normal", "high", "critical"}

func (p Priority) String() string { return priorityNames[p.Band()] }

// Band is its number from the lowest, which is 0. What is beyond the ends is at the end.
func (p Priority) Band() int { return int(min(max(p, Low), Critical) - Low) }

// Priorities lists them, the lowest first.
func Priorities() [Bands]Priority { return [Bands]Priority{Low, Normal, High, Critical} }

// ParsePriority finds a priority by its name.
func ParsePriority(name string) (Priority, bool) {
	for i, known := range priorityNames {
		if known == name {
			return Low + Priority(i), true
		}
	}
	return Normal, false
}

// Cost is what a request takes in units of a tenant's counter, where cached of its
// input tokens need not be computed.
func Cost(input, cached, output int) float64 {
	return float64(max(input-cached, 0)) + 2*float64(max(output, 0))
}
