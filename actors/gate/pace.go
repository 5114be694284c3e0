package gate

import "math"

// A Pace is the speed at which an instance reads prompts, as the first bytes of its
// answers show: the slope of the time that they took over the tokens that were ahead
// of them when they came, their own included. An engine that reads many prompts at a
// time, or whose time has other causes, has next to no slope: then nothing is told, for
// a backlog in seconds would only keep it idle. Its zero value knows nothing.
type Pace struct{ n, x, t, xx, xt, tt float64 }

const (
	paceKeeps  = 0.98 // weight of a sample once the next has come
	paceLeast  = 8    // samples, in weight
	paceSure   = 0.5  // of the variance in time that the tokens have to explain
	paceSpread = 0.01 // of the squared mean, that tokens have to vary by
)

// Learn takes in that a first byte with so many tokens ahead of it took so many seconds.
func (p *Pace) Learn(tokens int, took float64) {
	if tokens <= 0 || !(took > 0) || math.IsInf(took, 0) {
		return
	}
	x := float64(tokens)
	p.n, p.x, p.t = paceKeeps*p.n+1, paceKeeps*p.x+x, paceKeeps*p.t+took
	p.xx, p.xt, p.tt = paceKeeps*p.xx+x*x, paceKeeps*p.xt+x*took, paceKeeps*p.tt+took*took
}

// TPS is the speed in tokens per second; 0: it is not known.
func (p *Pace) TPS() float64 {
	if p.n < paceLeast {
		return 0
	}
	mx, mt := p.x/p.n, p.t/p.n
	vx, vt, c := p.xx/p.n-mx*mx, p.tt/p.n-mt*mt, p.xt/p.n-mx*mt
	if c <= 0 || vx < paceSpread*mx*mx || vt <= 0 || c*c < paceSure*vx*vt {
		return 0
	}
	return vx / c
}
