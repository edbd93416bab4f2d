// The benchmark's client: keeps one warm connection to each endpoint and runs what it is told on stdin, a JSON object a line,
// answering with a line each. What it times is the call alone; figures are in milliseconds.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// request is one line of stdin.
type request struct {
	// Op is call, start, create, stop, clear, exec or listed.
	Op string `json:"op"`
	// Endpoint is unix:///path of a CRI runtime or docker:///path of an engine.
	Endpoint string `json:"endpoint"`
	Method   string `json:"method"`
	Count    int    `json:"count"`
	Parallel int    `json:"parallel"`
	// IDs are those to ask for, or to stop.
	IDs         []string `json:"ids"`
	HostNetwork bool     `json:"hostNetwork"`
	Image       string   `json:"image"`
	LogDir      string   `json:"logDir"`
	Command     []string `json:"command"`
	// CgroupRoot is where the pods' cgroups are made; empty leaves it to the runtime.
	CgroupRoot string `json:"cgroupRoot"`
	// Bodies are the create requests that a raw pod repeats, by "sandbox", "container" and "exec".
	Bodies map[string]json.RawMessage `json:"bodies"`
	// OldID is the sandbox's id in Bodies["container"].
	OldID string     `json:"oldId"`
	CNI   *cniConfig `json:"cni"`
}

type pod struct {
	Sandbox    string   `json:"sandbox"`
	Containers []string `json:"containers"`
}

// answer is one line of stdout.
type answer struct {
	Error string `json:"error,omitempty"`
	// Ms has one figure for each call, by the CRI's name for it.
	Ms     map[string][]float64 `json:"ms"`
	WallMs float64              `json:"wallMs"`
	Pods   []pod                `json:"pods,omitempty"`
	// Items and Bytes are those of the last answer.
	Items int `json:"items"`
	Bytes int `json:"bytes"`
}

// target is what the operations run on: a CRI runtime, or the engine's API with the requests that stand for an RPC.
type target interface {
	call(method, id string) (items, bytes int, err error)
	runPod(r *request, number int, t *times) (pod, error)
	createContainer(r *request, sandbox string, number int, t *times) (string, error)
	stopPod(r *request, id string, t *times) error
	// pods are those that were made here and are still there.
	pods() ([]string, error)
	exec(r *request, id string) error
}

// times collects figures of calls that run side by side.
type times struct {
	mu sync.Mutex
	ms map[string][]float64
}

func (t *times) measure(name string, work func() error) error {
	began := time.Now()
	err := work()
	ms := float64(time.Since(began).Microseconds()) / 1000
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ms[name] = append(t.ms[name], ms)
	return nil
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var r request
		result := answer{Ms: map[string][]float64{}}
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			result.Error = err.Error()
		} else {
			run(&r, &result)
		}
		if err := out.Encode(result); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

var serial int

func run(r *request, result *answer) {
	to, err := targetOf(r.Endpoint)
	if err != nil {
		result.Error = err.Error()
		return
	}
	t := &times{ms: result.Ms}
	began := time.Now()
	switch r.Op {
	case "call":
		for at := range r.Count {
			id := ""
			if len(r.IDs) > 0 {
				id = r.IDs[at%len(r.IDs)]
			}
			if err = t.measure(r.Method, func() (err error) {
				result.Items, result.Bytes, err = to.call(r.Method, id)
				return err
			}); err != nil {
				break
			}
		}
	case "start":
		result.Pods = make([]pod, r.Count)
		first := serial
		serial += r.Count
		err = each(r, r.Count, func(at int) error {
			return t.measure("pod", func() (err error) {
				result.Pods[at], err = to.runPod(r, first+at, t)
				return err
			})
		})
	case "create":
		first := serial
		serial += r.Count
		err = each(r, r.Count, func(at int) error {
			_, err := to.createContainer(r, r.IDs[at%len(r.IDs)], first+at, t)
			return err
		})
	case "stop":
		err = each(r, len(r.IDs), func(at int) error { return to.stopPod(r, r.IDs[at], t) })
	case "clear":
		var ids []string
		if ids, err = to.pods(); err == nil {
			err = each(r, len(ids), func(at int) error { return to.stopPod(r, ids[at], t) })
		}
	case "exec":
		err = each(r, r.Count, func(at int) error {
			return t.measure("ExecSync", func() error { return to.exec(r, r.IDs[at%len(r.IDs)]) })
		})
	case "listed":
		err = untilListed(r, result)
	default:
		err = fmt.Errorf("unknown op %q", r.Op)
	}
	result.WallMs = float64(time.Since(began).Microseconds()) / 1000
	if err != nil {
		result.Error = err.Error()
	}
}

// each runs work for 0..count-1, r.Parallel at once; the first error ends it.
func each(r *request, count int, work func(at int) error) error {
	var wait sync.WaitGroup
	var mu sync.Mutex
	var failure error
	next := 0
	for range max(1, r.Parallel) {
		wait.Go(func() {
			for {
				mu.Lock()
				at := next
				next++
				stop := at >= count || failure != nil
				mu.Unlock()
				if stop {
					return
				}
				if err := work(at); err != nil {
					mu.Lock()
					failure = err
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	return failure
}
