package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// benchStrain sends to a node that has one processor thrice what that can take, before an
// engine that answers at once. Generator and engine need a processor or two each besides:
// where they do not have them, it is them that this measures.
func benchStrain(ctx context.Context, s settings) error {
	q := &parts{}
	defer q.stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if q.fast, _, err = q.serve(self, "mock"); err != nil {
		return err
	}
	q.paced = q.fast
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := q.startCluster(starting, s.binary, "GOMAXPROCS=1"); err != nil {
		return err
	}
	keys, err := q.overloadKeys(starting, 4*manyConnections)
	if err != nil {
		return err
	}
	t := target{q.lota, fastModel, keys["calm"]}
	if err := t.await(); err != nil {
		return err
	}
	body := question(fastModel, overloadTokens)
	peak := max(saturate(ctx, t, body, manyConnections, 2*time.Second), saturate(ctx, t, body, manyConnections, 2*time.Second))
	if peak == 0 {
		return errors.New("no request was answered")
	}
	fmt.Printf("a gateway with one processor: %.0f answers/s in a closed loop of %d\n", peak, manyConnections)
	r := surge{"gateway_overload", 3 * time.Second, 10 * time.Second, 6 * time.Second}
	return tell(ctx, r.figures(r.run(ctx, t.address, keys, peak), peak))
}
