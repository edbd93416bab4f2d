package lifecycle

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type logLine struct {
	at     time.Time
	stream string
	text   string
}

// readLog reads a file in the CRI's log form and joins partial lines. Any line of another form is an error.
func readLog(t *testing.T, path string) []logLine {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []logLine
	partial := map[string]string{}
	for _, line := range bytes.SplitAfter(raw, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		parts := strings.SplitN(string(line), " ", 4)
		if len(parts) != 4 || !strings.HasSuffix(parts[3], "\n") || (parts[1] != "stdout" && parts[1] != "stderr") ||
			(parts[2] != "F" && parts[2] != "P") {
			t.Fatalf("not a line of a CRI log: %q", line)
		}
		at, err := time.Parse(time.RFC3339Nano, parts[0])
		if err != nil {
			t.Fatal(err)
		}
		partial[parts[1]] += strings.TrimSuffix(parts[3], "\n")
		if parts[2] == "F" {
			lines = append(lines, logLine{at, parts[1], partial[parts[1]]})
			delete(partial, parts[1])
		}
	}
	for stream, rest := range partial {
		lines = append(lines, logLine{stream: stream, text: rest})
	}
	return lines
}

// The kubelet reads a log once, when the status says that the container is over.
func TestALogIsWholeOnceTheContainerHasExited(t *testing.T) {
	n := connect(t)
	pod := podConfig(t, cri.NamespaceMode_NODE)
	podID := n.runPod(t, pod)
	began := time.Now()
	config := containerConfig("once", pod, "/bin/sh", "-c", `echo first; echo failed >&2; head -c 40000 /dev/zero | tr '\0' x; echo; i=0; `+
		`while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; printf "no newline"`)
	id := n.startContainer(t, podID, config, pod)
	status := n.waitExited(t, id)
	if status.GetExitCode() != 0 || status.GetReason() != "Completed" {
		t.Errorf("it has done its work: %v", status)
	}
	var out, errs []string
	last := time.Time{}
	for _, line := range readLog(t, status.GetLogPath()) {
		if line.stream == "stdout" {
			out = append(out, line.text)
			if line.at.Before(last) && !line.at.IsZero() {
				t.Errorf("%q is older than the line before it", line.text)
			}
			last = line.at
		} else {
			errs = append(errs, line.text)
		}
		if !line.at.IsZero() && (line.at.Before(began) || line.at.After(time.Now())) {
			t.Errorf("%q has the time %s", line.text, line.at)
		}
	}
	want := []string{"first", strings.Repeat("x", 40000)}
	for i := range 500 {
		want = append(want, fmt.Sprintf("line %d", i))
	}
	want = append(want, "no newline")
	if strings.Join(out, "\n") != strings.Join(want, "\n") {
		t.Errorf("stdout has %d lines in place of %d", len(out), len(want))
	}
	if len(errs) != 1 || errs[0] != "failed" {
		t.Errorf("stderr: %q", errs)
	}
}

func TestReopenContainerLog(t *testing.T) {
	n := connect(t)
	pod := podConfig(t, cri.NamespaceMode_NODE)
	podID := n.runPod(t, pod)
	config := containerConfig("writer", pod, "/bin/sh", "-c", `i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); sleep 0.02; done`)
	id := n.startContainer(t, podID, config, pod)
	path := filepath.Join(pod.GetLogDirectory(), config.GetLogPath())
	files := []string{}
	for round := range 3 {
		eventually(t, 10*time.Second, "the log grows", func() bool {
			info, err := os.Stat(path)
			return err == nil && info.Size() > 0
		})
		old := fmt.Sprintf("%s.%d", path, round)
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		files = append(files, old)
		if err := n.runtime.ReopenContainerLog(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("no new file on return: %v", err)
		}
		sizeThen := fileSize(t, old)
		time.Sleep(300 * time.Millisecond)
		if now := fileSize(t, old); now != sizeThen {
			t.Errorf("the old file grew from %d to %d after the return", sizeThen, now)
		}
	}
	n.waitExited(t, id)
	next := 0
	for _, file := range append(files, path) {
		for _, line := range readLog(t, file) {
			if line.text != fmt.Sprint(next) {
				t.Fatalf("in %s: %q where %d was due", filepath.Base(file), line.text, next)
			}
			next++
		}
	}
	if next != 300 {
		t.Errorf("%d lines in place of 300", next)
	}
	if err := n.runtime.ReopenContainerLog(t.Context(), id); err == nil {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("reopened after its end, yet no file: %v", err)
		}
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
