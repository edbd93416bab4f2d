// Package merging compares how Dockline makes one answer of several NRI plugins' with the runtime-side code of NRI's own Go module.
package merging

import (
	"fmt"
	"math/rand"

	"github.com/containerd/nri/pkg/api"
)

// answer is what one plugin says.
type answer struct {
	plugin string
	adjust *api.ContainerAdjustment
	update []*api.ContainerUpdate
}

// generator makes answers. What the Go module is known to lose is not in them: pids in updates, several members in an
// update whose failure is ignored, a removal alone of what an earlier plugin has set in a map.
type generator struct{ *rand.Rand }

func (g generator) chance(percent int) bool { return g.Intn(100) < percent }

func (g generator) pick(words ...string) string { return words[g.Intn(len(words))] }

func (g generator) number() int64 { return 1 + g.Int63n(1<<40) }

// mapOf has keys that may be removed and set in one answer; "z" is only ever removed.
func (g generator) mapOf() map[string]string {
	entries := map[string]string{}
	for range g.Intn(3) {
		key := g.pick("a", "b", "c", "d")
		entries[key] = g.pick("1", "2")
		if g.chance(40) {
			entries["-"+key] = ""
		}
	}
	if g.chance(10) {
		entries["-z"] = ""
	}
	return entries
}

// keys are those of a list, in which a removal comes before what takes its place.
func (g generator) keys() []string {
	var keys []string
	for range g.Intn(3) {
		key := g.pick("a", "b", "c", "d")
		if g.chance(40) {
			keys = append(keys, "-"+key)
			if g.chance(25) {
				continue
			}
		}
		keys = append(keys, key)
	}
	return keys
}

// path puts a removal's mark before the slash.
func path(key string) string {
	if key[0] == '-' {
		return "-/" + key[1:]
	}
	return "/" + key
}

func (g generator) resources(all bool) *api.LinuxResources {
	r := &api.LinuxResources{Memory: &api.LinuxMemory{}, Cpu: &api.LinuxCPU{}, Unified: map[string]string{}}
	setters := []func(){
		func() { r.Memory.Limit = api.Int64(g.number()) },
		func() { r.Memory.Reservation = api.Int64(g.number()) },
		func() { r.Memory.Swap = api.Int64(g.number()) },
		func() { r.Memory.Kernel = api.Int64(g.number()) },
		func() { r.Memory.KernelTcp = api.Int64(g.number()) },
		func() { r.Memory.Swappiness = api.UInt64(uint64(g.number())) },
		func() { r.Memory.DisableOomKiller = api.Bool(true) },
		func() { r.Memory.UseHierarchy = api.Bool(true) },
		func() { r.Cpu.Shares = api.UInt64(uint64(g.number())) },
		func() { r.Cpu.Quota = api.Int64(g.number()) },
		func() { r.Cpu.Period = api.UInt64(uint64(g.number())) },
		func() { r.Cpu.RealtimeRuntime = api.Int64(g.number()) },
		func() { r.Cpu.RealtimePeriod = api.UInt64(uint64(g.number())) },
		func() { r.Cpu.Cpus = g.pick("0", "1-2") },
		func() { r.Cpu.Mems = g.pick("0", "1") },
		func() {
			r.HugepageLimits = []*api.HugepageLimit{{PageSize: g.pick("2MB", "1GB"), Limit: uint64(g.number())}}
		},
		func() { r.Unified[g.pick("memory.high", "cpu.max")] = g.pick("1", "2") },
		func() { r.BlockioClass = api.String(g.pick("gold", "lead")) },
		func() { r.RdtClass = api.String(g.pick("gold", "lead")) },
	}
	if all {
		setters = append(setters,
			func() { r.Pids = &api.LinuxPids{Limit: g.number()} },
			func() { r.Devices = []*api.LinuxDeviceCgroup{{Allow: true, Type: g.pick("c", "b")}} })
	}
	setters[g.Intn(len(setters))]()
	if g.chance(30) {
		setters[g.Intn(len(setters))]()
	}
	return r
}

func (g generator) update(id string) *api.ContainerUpdate {
	u := &api.ContainerUpdate{ContainerId: id, Linux: &api.LinuxContainerUpdate{Resources: g.resources(false)}}
	if g.chance(30) {
		u.IgnoreFailure = true
		one := &api.LinuxResources{Cpu: &api.LinuxCPU{Cpus: g.pick("0", "1")}}
		u.Linux.Resources = one
	}
	return u
}

func (g generator) updates(ids ...string) []*api.ContainerUpdate {
	var updates []*api.ContainerUpdate
	for range g.Intn(3) {
		updates = append(updates, g.update(g.pick(ids...)))
	}
	return updates
}

func (g generator) hooks() *api.Hooks {
	one := []*api.Hook{{Path: "/" + g.pick("a", "b")}}
	hooks := &api.Hooks{}
	kinds := []*[]*api.Hook{&hooks.Prestart, &hooks.CreateRuntime, &hooks.CreateContainer, &hooks.StartContainer, &hooks.Poststart, &hooks.Poststop}
	*kinds[g.Intn(len(kinds))] = one
	return hooks
}

func (g generator) linux(l *api.LinuxContainerAdjustment) {
	setters := []func(){
		func() { l.Resources = g.resources(true) },
		func() {
			for _, key := range g.keys() {
				l.Devices = append(l.Devices, &api.LinuxDevice{Path: path(key), Type: g.pick("b", "c"), Major: g.number()})
			}
		},
		func() { l.CgroupsPath = "/x" },
		func() { l.OomScoreAdj = &api.OptionalInt{Value: g.number()} },
		func() { l.IoPriority = &api.LinuxIOPriority{Class: api.IOPrioClass_IOPRIO_CLASS_BE, Priority: 3} },
		func() { l.SeccompPolicy = &api.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW"} },
		func() {
			l.Namespaces = []*api.LinuxNamespace{{Type: g.pick("", "-") + g.pick("pid", "ipc", "network"), Path: "/n"}}
		},
		func() { l.Sysctl = g.mapOf() },
		func() {
			l.NetDevices = map[string]*api.LinuxNetDevice{}
			for key, name := range g.mapOf() {
				l.NetDevices[key] = &api.LinuxNetDevice{Name: name}
			}
		},
		func() { l.Scheduler = &api.LinuxScheduler{Policy: api.LinuxSchedulerPolicy_SCHED_FIFO, Priority: 5} },
		func() { l.Rdt = &api.LinuxRdt{ClosId: api.String("gold"), Remove: g.chance(50)} },
		func() { l.Rdt = &api.LinuxRdt{EnableMonitoring: api.Bool(true)} },
		func() { l.MemoryPolicy = &api.LinuxMemoryPolicy{Mode: api.MpolMode_MPOL_BIND, Nodes: "0"} },
	}
	for range g.Intn(3) {
		setters[g.Intn(len(setters))]()
	}
}

func (g generator) adjustment() *api.ContainerAdjustment {
	a := &api.ContainerAdjustment{Linux: &api.LinuxContainerAdjustment{}}
	setters := []func(){
		func() { a.Annotations = g.mapOf() },
		func() {
			for _, key := range g.keys() {
				a.Mounts = append(a.Mounts, &api.Mount{Destination: path(key), Source: "/" + g.pick("x", "y")})
			}
		},
		func() {
			for _, key := range g.keys() {
				a.Env = append(a.Env, &api.KeyValue{Key: key, Value: g.pick("1", "a=b")})
			}
		},
		func() { a.Args = []string{g.pick("x", "y"), "z"} },
		func() { a.Args = []string{"", g.pick("x", "y")} },
		func() { a.Hooks = g.hooks() },
		func() { a.Rlimits = []*api.POSIXRlimit{{Type: g.pick("RLIMIT_CPU", "RLIMIT_CORE"), Hard: 2, Soft: 1}} },
		func() { a.CDIDevices = []*api.CDIDevice{{Name: "v/c=" + g.pick("a", "b")}} },
	}
	for range g.Intn(3) {
		setters[g.Intn(len(setters))]()
	}
	g.linux(a.Linux)
	return a
}

func (g generator) answers(of func(plugin string) *answer) []*answer {
	var answers []*answer
	for i := range 1 + g.Intn(4) {
		answers = append(answers, of(fmt.Sprintf("%d-p", 10+i)))
	}
	return answers
}

// container is what all cases of a create begin with.
func container() *api.Container {
	return &api.Container{
		Id:          "new",
		Annotations: map[string]string{"a": "0", "k": "0"},
		Args:        []string{"own"},
		Env:         []string{"a=0", "k=x=y"},
		Mounts:      []*api.Mount{{Destination: "/a", Source: "/0"}, {Destination: "/k", Source: "/0"}},
		Rlimits:     []*api.POSIXRlimit{{Type: "RLIMIT_NPROC", Hard: 1, Soft: 1}},
		Linux: &api.LinuxContainer{
			Namespaces: []*api.LinuxNamespace{{Type: "pid"}, {Type: "uts"}},
			Devices:    []*api.LinuxDevice{{Path: "/a", Type: "c"}},
			Sysctl:     map[string]string{"a": "0"},
			Resources:  &api.LinuxResources{Cpu: &api.LinuxCPU{Shares: api.UInt64(uint64(7))}},
		},
	}
}
