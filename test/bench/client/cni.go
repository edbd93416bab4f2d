package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// cniConfig is a configuration list and where its plugins are.
type cniConfig struct {
	BinDir  string           `json:"binDir"`
	Name    string           `json:"name"`
	Version string           `json:"version"`
	Plugins []map[string]any `json:"plugins"`
}

// add runs the chain; each plugin's result is kept for the deletion.
func (c *cniConfig) add(id, netns string) ([][]byte, error) {
	var results [][]byte
	var previous []byte
	for _, plugin := range c.Plugins {
		result, err := c.run("ADD", plugin, id, netns, previous)
		if err != nil {
			return results, err
		}
		results = append(results, result)
		previous = result
	}
	return results, nil
}

func (c *cniConfig) del(id, netns string, results [][]byte) error {
	for at := len(c.Plugins) - 1; at >= 0; at-- {
		if _, err := c.run("DEL", c.Plugins[at], id, netns, results[len(results)-1]); err != nil {
			return err
		}
	}
	return nil
}

func (c *cniConfig) run(command string, plugin map[string]any, id, netns string, previous []byte) ([]byte, error) {
	config := map[string]any{"cniVersion": c.Version, "name": c.Name}
	for key, value := range plugin {
		config[key] = value
	}
	if previous != nil {
		config["prevResult"] = json.RawMessage(previous)
	}
	stdin, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	kind, _ := plugin["type"].(string)
	process := exec.Command(filepath.Join(c.BinDir, kind))
	process.Stdin = bytes.NewReader(stdin)
	process.Env = append(os.Environ(), "CNI_COMMAND="+command, "CNI_CONTAINERID="+id, "CNI_NETNS="+netns,
		"CNI_IFNAME=eth0", "CNI_PATH="+c.BinDir)
	out, err := process.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w %s", kind, command, err, bytes.TrimSpace(out))
	}
	return out, nil
}
