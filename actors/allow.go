package actors

// AllowExternal changes which URLs external engines may have. Instances that run
// keep theirs.
func (s *System) AllowExternal(prefixes []string) { s.presets.AllowExternal(prefixes) }
