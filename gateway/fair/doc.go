// Package fair says in which order those who wait are served: by bands of priority,
// and inside a band by what each tenant has had so far, so that nobody who asks for
// much keeps others waiting (a virtual token counter, as in Sheng et al., "Fairness in
// Serving Large Language Models", OSDI 2024).
//
// The gateway's queues and the simulator of routing call it. It is pure: the time is
// given in, nothing is started, nothing is locked. It imports the standard library alone.
package fair
