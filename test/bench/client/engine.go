package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
)

// engine is Docker's API without anything between: the requests that a bridge cannot do without.
type engine struct {
	client *http.Client
	mu     sync.Mutex
	made   map[string]*rawPod
}

type rawPod struct {
	containers []string
	netns      string
	results    [][]byte
}

func newEngine(path string) *engine {
	dialer := net.Dialer{}
	return &engine{made: map[string]*rawPod{}, client: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}}}}
}

// do sends one request and reads its whole answer.
func (e *engine) do(method, path string, body []byte, into any) (int, error) {
	request, err := http.NewRequest(method, "http://docker"+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := e.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	if answer.StatusCode >= 300 && answer.StatusCode != http.StatusNotModified {
		return 0, fmt.Errorf("%s %s: %d %s", method, path, answer.StatusCode, bytes.TrimSpace(text))
	}
	if into != nil {
		return len(text), json.Unmarshal(text, into)
	}
	return len(text), nil
}

func (e *engine) call(method, id string) (int, int, error) {
	switch method {
	case "ListContainers", "ListPodSandbox":
		// What a bridge that asks each time has to ask and to read, without its own answer to the kubelet.
		kind := map[string]string{"ListContainers": "container", "ListPodSandbox": "podsandbox"}[method]
		var list []struct {
			ID, Image, ImageID, State, Status string
			Created                           int64
			Names                             []string
			Labels                            map[string]string
		}
		bytes, err := e.do("GET", "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22io.kubernetes.docker.type%3D"+kind+"%22%5D%7D", nil, &list)
		return len(list), bytes, err
	case "ContainerStatus", "PodSandboxStatus":
		var inspect map[string]any
		bytes, err := e.do("GET", "/containers/"+id+"/json", nil, &inspect)
		return 1, bytes, err
	case "Version":
		bytes, err := e.do("GET", "/_ping", nil, nil)
		return 1, bytes, err
	}
	return 0, 0, fmt.Errorf("no raw form of %s", method)
}

func (e *engine) runPod(r *request, number int, t *times) (pod, error) {
	made := pod{}
	raw := &rawPod{}
	if err := t.measure("RunPodSandbox", func() (err error) {
		if made.Sandbox, err = e.create(fmt.Sprintf("rawbench_pause_%d_%d", os.Getpid(), number), r.Bodies["sandbox"]); err != nil {
			return err
		}
		if _, err := e.do("POST", "/containers/"+made.Sandbox+"/start", nil, nil); err != nil {
			return err
		}
		var inspect struct{ NetworkSettings struct{ SandboxKey string } }
		if _, err := e.do("GET", "/containers/"+made.Sandbox+"/json", nil, &inspect); err != nil {
			return err
		}
		if r.HostNetwork {
			return nil
		}
		raw.netns = inspect.NetworkSettings.SandboxKey
		raw.results, err = r.CNI.add(made.Sandbox, raw.netns)
		return err
	}); err != nil {
		return made, err
	}
	e.mu.Lock()
	e.made[made.Sandbox] = raw
	e.mu.Unlock()
	id, err := e.createContainer(r, made.Sandbox, number, t)
	if err != nil {
		return made, err
	}
	made.Containers = []string{id}
	return made, t.measure("StartContainer", func() error {
		_, err := e.do("POST", "/containers/"+id+"/start", nil, nil)
		return err
	})
}

func (e *engine) createContainer(r *request, sandbox string, number int, t *times) (string, error) {
	body := []byte(strings.ReplaceAll(string(r.Bodies["container"]), r.OldID, sandbox))
	id := ""
	err := t.measure("CreateContainer", func() (err error) {
		id, err = e.create(fmt.Sprintf("rawbench_main_%d_%d", os.Getpid(), number), body)
		return err
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made[sandbox].containers = append(e.made[sandbox].containers, id)
	return id, err
}

func (e *engine) create(name string, body []byte) (string, error) {
	var made struct{ ID string }
	_, err := e.do("POST", "/containers/create?name="+name, body, &made)
	return made.ID, err
}

func (e *engine) stopPod(r *request, id string, t *times) error {
	e.mu.Lock()
	raw := e.made[id]
	delete(e.made, id)
	e.mu.Unlock()
	for _, container := range raw.containers {
		if err := t.measure("StopContainer", func() error {
			_, err := e.do("POST", "/containers/"+container+"/stop?t=10", nil, nil)
			return err
		}); err != nil {
			return err
		}
		if err := t.measure("RemoveContainer", func() error {
			_, err := e.do("DELETE", "/containers/"+container+"?force=1&v=1", nil, nil)
			return err
		}); err != nil {
			return err
		}
	}
	if err := t.measure("StopPodSandbox", func() error {
		if raw.netns != "" {
			if err := r.CNI.del(id, raw.netns, raw.results); err != nil {
				return err
			}
		}
		_, err := e.do("POST", "/containers/"+id+"/kill?signal=KILL", nil, nil)
		return err
	}); err != nil {
		return err
	}
	return t.measure("RemovePodSandbox", func() error {
		_, err := e.do("DELETE", "/containers/"+id+"?force=1&v=1", nil, nil)
		return err
	})
}

func (e *engine) pods() ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.made)), nil
}

func (e *engine) exec(r *request, id string) error {
	var made struct{ ID string }
	if _, err := e.do("POST", "/containers/"+id+"/exec", r.Bodies["exec"], &made); err != nil {
		return err
	}
	// Without an upgrade the output is the answer's body, to the end of the process.
	if _, err := e.do("POST", "/exec/"+made.ID+"/start", []byte(`{"Detach":false,"Tty":false}`), nil); err != nil {
		return err
	}
	var inspect struct{ ExitCode int }
	_, err := e.do("GET", "/exec/"+made.ID+"/json", nil, &inspect)
	if err == nil && inspect.ExitCode != 0 {
		err = fmt.Errorf("exit code %d", inspect.ExitCode)
	}
	return err
}
