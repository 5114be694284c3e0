package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"time"
)

func main() {
	s := settings{}
	flag.IntVar(&s.gateways, "gateways", 9, "gateways, from 2 on")
	flag.IntVar(&s.workers, "workers", 4, "workers that own limits, from 2 on")
	flag.DurationVar(&s.steady, "steady", 10*time.Second, "time that is measured without a death, for each limit")
	flag.IntVar(&s.kills, "kills", 2, "deaths of the limit's owner, for each limit")
	flag.DurationVar(&s.between, "between", 6*time.Second, "from one death to the next")
	flag.DurationVar(&s.notice, "notice", 3*time.Second, "after which a death is known")
	flag.Float64Var(&s.asked, "asked", 2, "what is asked for, as part of the limit")
	flag.Parse()
	for u, o := range run(os.Stdout, s) {
		unit := []string{"requests", "tokens"}[u]
		fmt.Println(figure("limit_off_"+unit, 100*math.Abs(o.off), "%", 1))
		fmt.Println(figure("limit_over_"+unit, o.over/max(o.lease, 1), "leases", 1))
	}
}

func figure(name string, value float64, unit string, most float64) string {
	missed := ""
	if value > most {
		missed = " (missed)"
	}
	return fmt.Sprintf("figure: %s %.3f %s goal <= %g%s", name, value, unit, most, missed)
}
