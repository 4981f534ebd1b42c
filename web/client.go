package web

import "embed"

// The client when it is not embedded: sockjs-client 1.6.1 and the SHA-384 of
// the file that its package holds.
const (
	cdnURL       = "https://cdn.jsdelivr.net/npm/sockjs-client@1.6.1/dist/sockjs.min.js"
	cdnIntegrity = "sha384-" + "svdnwiXBL+Js+yUneJSRFy24NgGiOfDM/vkQl/vCeVrcbYD6yW8EwPr1FnxTEZsR"
)

const localClientPath = "/sockjs.min.js"

//go:embed all:client
var clientFiles embed.FS

// ClientPath is the path at which Handler serves sockjs-client, or "" when the
// binary was built without it.
func ClientPath() string {
	if embeddedClient() == nil {
		return ""
	}
	return localClientPath
}

// embeddedClient is nil when the binary was built without the client.
func embeddedClient() []byte {
	client, err := clientFiles.ReadFile("client/sockjs.min.js")
	if err != nil {
		return nil
	}
	return client
}

// A clientSource says where the page loads sockjs-client from. Integrity is
// empty for the server's own.
type clientSource struct {
	Client    string
	Integrity string
}

// source is where the page loads client from.
func source(client []byte) clientSource {
	if client == nil {
		return clientSource{Client: cdnURL, Integrity: cdnIntegrity}
	}
	return clientSource{Client: localClientPath}
}
