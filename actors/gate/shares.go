package gate

// shares counts what each tenant's waiting requests have been granted, in prompt
// tokens, so that between gateways too no tenant is served ahead of another that
// waits. Inside a gateway its own queue sees to that.
type shares struct {
	had map[uint32]float64
}

// maxTenants is how many tenants are counted; more of them, and all begin anew.
const maxTenants = 1024

func (s *shares) of(tenant uint32) float64 { return s.had[tenant] }

func (s *shares) charge(tenant uint32, cost float64) {
	if s.had == nil || len(s.had) >= maxTenants {
		s.had = map[uint32]float64{}
	}
	s.had[tenant] += cost
}

// back lifts a tenant that waits again to the least of those that do: having been
// away earns nothing.
func (s *shares) back(tenant uint32, waiting []reservation) {
	least, found := 0.0, false
	for i := range waiting {
		r := &waiting[i]
		if r.Count == 0 {
			continue
		}
		if r.Tenant == tenant {
			return
		}
		if had := s.had[r.Tenant]; !found || had < least {
			least, found = had, true
		}
	}
	if found && s.had[tenant] < least {
		s.had[tenant] = least
	}
}
