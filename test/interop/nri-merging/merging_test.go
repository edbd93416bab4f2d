package merging

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/containerd/nri/pkg/api"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const cases = 3000

type object = map[string]any

// TestCreate and TestUpdate: the same answers give the same result, owners, conflict and next request.
func TestCreate(t *testing.T) {
	g := generator{rand.New(rand.NewSource(seed(t)))}
	var lines []any
	var want []object
	folder := t.TempDir()
	for range cases {
		answers := g.answers(func(plugin string) *answer {
			a := &answer{plugin: plugin, adjust: g.adjustment()}
			if g.chance(30) {
				a.update = g.updates("x", "y")
			}
			return a
		})
		lines = append(lines, lineOf("create", &api.CreateContainerRequest{Container: container()}, answers))
		got, err := create(folder, answers)
		if err != nil {
			want = append(want, object{"error": err.Error()})
			continue
		}
		want = append(want, object{
			"adjust": toJSON(got.adjust), "updates": list(got.updates), "owners": toJSON(got.owners), "seen": toJSON(got.seen),
		})
	}
	compare(t, lines, want)
}

func TestUpdate(t *testing.T) {
	g := generator{rand.New(rand.NewSource(seed(t)))}
	var lines []any
	var want []object
	folder := t.TempDir()
	for range cases {
		answers := g.answers(func(plugin string) *answer {
			return &answer{plugin: plugin, update: g.updates("c", "x", "y")}
		})
		asked := g.resources(false)
		// Only one entry of each size is ours; the Go module appends.
		asked.HugepageLimits = nil
		request := &api.UpdateContainerRequest{Container: &api.Container{Id: "c"}, LinuxResources: asked}
		lines = append(lines, lineOf("update", request, answers))
		got, err := update(folder, asked, answers)
		if err != nil {
			want = append(want, object{"error": err.Error()})
			continue
		}
		want = append(want, object{"resources": toJSON(got.resources), "updates": list(got.updates)})
	}
	compare(t, lines, want)
}

// seed is that of the run, which a failure names.
func seed(t *testing.T) int64 {
	chosen := rand.Int63()
	if text := os.Getenv("DOCKLINE_TEST_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &chosen); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("DOCKLINE_TEST_SEED=%d", chosen)
	return chosen
}

func lineOf(event string, request proto.Message, answers []*answer) object {
	var said []any
	for _, a := range answers {
		var response proto.Message = &api.CreateContainerResponse{Adjust: a.adjust, Update: a.update}
		if event == "update" {
			response = &api.UpdateContainerResponse{Update: a.update}
		}
		said = append(said, object{"plugin": a.plugin, "response": toJSON(response)})
	}
	return object{"event": event, "request": toJSON(request), "answers": said}
}

func toJSON(message proto.Message) any {
	bytes, err := protojson.Marshal(message)
	if err != nil {
		panic(err)
	}
	var value any
	if err := json.Unmarshal(bytes, &value); err != nil {
		panic(err)
	}
	return value
}

func list(updates []*api.ContainerUpdate) []any {
	var all []any
	for _, u := range updates {
		all = append(all, toJSON(u))
	}
	return all
}

func compare(t *testing.T, lines []any, want []object) {
	t.Helper()
	var input bytes.Buffer
	for _, line := range lines {
		if err := json.NewEncoder(&input).Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	node := exec.Command("node", "merge.ts")
	node.Stdin, node.Stderr = &input, os.Stderr
	output, err := node.Output()
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(bytes.NewReader(output))
	scanner.Buffer(nil, 1<<24)
	conflicts, differing := 0, 0
	for i := range lines {
		if !scanner.Scan() {
			t.Fatalf("%d answers to %d cases", i, len(lines))
		}
		var got object
		if err := json.Unmarshal(scanner.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		reference, ours := alike(want[i]), alike(got)
		if want[i]["error"] != nil {
			conflicts++
		}
		if reflect.DeepEqual(reference, ours) {
			continue
		}
		if differing++; differing <= 3 {
			t.Errorf("case %s\nreference %s\nDockline  %s", text(lines[i]), text(reference), text(ours))
		}
	}
	t.Logf("%d cases, %d with a conflict, %d differ", len(lines), conflicts, differing)
	if conflicts < len(lines)/20 || conflicts > len(lines)*9/10 {
		t.Errorf("%d of %d cases with a conflict: neither side of it is tested well", conflicts, len(lines))
	}
}

func text(value any) string {
	bytes, _ := json.Marshal(value)
	return string(bytes)
}

var conflict = regexp.MustCompile(`plugins "([^"]*)" and "([^"]*)" both tried to set (\w+)`)

// alike leaves out what may differ, each for a reason.
func alike(result object) any {
	if message, failed := result["error"].(string); failed {
		// Of several entries in conflict, with several plugins, Go's maps give any.
		if found := conflict.FindStringSubmatch(message); found != nil {
			return []string{found[1], found[3]}
		}
		return message
	}
	if adjust, ok := result["adjust"].(object); ok {
		dropMarks(adjust, "env", "key")
		replacedMounts(adjust)
		replacedMarks(adjust["annotations"])
		if linux, ok := adjust["linux"].(object); ok {
			dropMarks(linux, "devices", "path")
			replacedMarks(linux["sysctl"])
			replacedMarks(linux["netDevices"])
		}
	}
	if seen, ok := result["seen"].(object); ok {
		linux, _ := seen["linux"].(object)
		// The Go module does not show it to the next plugin.
		delete(linux, "rdt")
		// There it is a map on the way.
		if namespaces, ok := linux["namespaces"].([]any); ok {
			sort.Slice(namespaces, func(i, j int) bool { return text(namespaces[i]) < text(namespaces[j]) })
		}
	}
	if updates, ok := result["updates"].([]any); ok {
		result["updates"] = asking(updates)
	}
	pruned, _ := prune(result)
	return pruned
}

// asking leaves out updates that change nothing, which Dockline does not pass on.
func asking(updates []any) []any {
	var kept []any
	for _, one := range updates {
		linux, _ := one.(object)["linux"].(object)
		if _, some := prune(linux["resources"]); some {
			kept = append(kept, one)
		}
	}
	return kept
}

// dropMarks: the Go module forgets to pass on that a variable or a device goes; Dockline does not.
func dropMarks(of object, list, key string) {
	entries, _ := of[list].([]any)
	var kept []any
	for _, entry := range entries {
		if name, _ := entry.(object)[key].(string); !strings.HasPrefix(name, "-") {
			kept = append(kept, entry)
		}
	}
	of[list] = kept
}

// replacedMarks: with the value that takes its place a mark says nothing.
func replacedMarks(value any) {
	entries, _ := value.(object)
	for key := range entries {
		if strings.HasPrefix(key, "-") {
			if _, replaced := entries[key[1:]]; replaced {
				delete(entries, key)
			} else {
				// netDevices has no value behind a mark there.
				entries[key] = "removed"
			}
		}
	}
}

// replacedMounts: the same of a list, in which one plugin's mark may come before another one's mount. Marks come out of a map there.
func replacedMounts(adjust object) {
	mounts, _ := adjust["mounts"].([]any)
	set := map[string]bool{}
	for _, mount := range mounts {
		set[mount.(object)["destination"].(string)] = true
	}
	var kept []any
	for _, mount := range mounts {
		name := mount.(object)["destination"].(string)
		if !strings.HasPrefix(name, "-") {
			kept = append(kept, mount)
		} else if !set[name[1:]] {
			// Several plugins may say it.
			set[name[1:]] = true
			kept = append(kept, object{"destination": name})
		}
	}
	sort.SliceStable(kept, func(i, j int) bool { return text(kept[i]) < text(kept[j]) })
	adjust["mounts"] = kept
}

// prune leaves out empty members; no generated value is one.
func prune(value any) (any, bool) {
	switch value := value.(type) {
	case object:
		kept := object{}
		for key, member := range value {
			if pruned, some := prune(member); some {
				kept[key] = pruned
			}
		}
		return kept, len(kept) > 0
	case []any:
		var kept []any
		for _, member := range value {
			if pruned, some := prune(member); some {
				kept = append(kept, pruned)
			}
		}
		return kept, len(kept) > 0
	case nil:
		return nil, false
	case string:
		return value, value != ""
	case bool:
		return value, value
	}
	return value, true
}
