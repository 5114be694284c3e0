package shim

import "testing"

func TestFindCgroup(t *testing.T) {
	unified := "25 30 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
	hybrid := "31 30 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n32 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	for _, c := range []struct{ own, mounts, want string }{
		{"0::/system.slice/lotabots.service\n", unified, "/sys/fs/cgroup/system.slice/lotabots.service"},
		{"5:pids:/x\n0::/\n", hybrid, "/sys/fs/cgroup/unified"},
		{"0::/a/b\n", "25 30 0:23 /a /cg rw - cgroup2 cgroup2 rw\n", "/cg/b"},
		{"0::/c\n", "25 30 0:23 /a /cg rw - cgroup2 cgroup2 rw\n", ""},
		{"0::/../x\n", unified, ""},
		{"5:pids:/x\n", unified, ""},
		{"0::/\n", "", ""},
	} {
		if got := findCgroup([]byte(c.own), []byte(c.mounts)); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.own, c.mounts, got, c.want)
		}
	}
}
