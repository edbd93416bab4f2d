// Package lifecycle drives a CRI runtime with the client that the kubelet itself uses. The tests need a socket in DOCKLINE_ENDPOINT
// (scripts/test-interop starts Dockline and sets it); they make no assumption about who serves it.
package lifecycle
