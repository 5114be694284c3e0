package engine

// Explain is err, which befell an engine that had started, as Start would tell it: with the program's
// last lines and what they say of the cause.
func (l *local) Explain(err error) error {
	l.mu.Lock()
	p := l.mu.process
	l.mu.Unlock()
	return l.failed(err, p)
}
