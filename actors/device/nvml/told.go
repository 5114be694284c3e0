package nvml

// Told is whom Watch tells. Events come from a goroutine of their own, beside the readings: a reading
// may take seconds on a GPU that is in trouble. An error ends Watch.
type Told struct {
	Device func(Device) error
	Event  func(Event) error
	// Watching is told once which GPUs the driver reports Xids of; none: of no one, and why.
	Watching func(uuids []string, why error) error
}
