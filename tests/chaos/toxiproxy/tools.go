//go:build tools

// Keeps the proxy in go.mod: scripts/setup-chaos builds it from there.
package toxiproxy

import _ "github.com/Shopify/toxiproxy/v2/cmd/server"
