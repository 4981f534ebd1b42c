package transport_test

import "testing"

// cases are those of the official suite of sockjs-protocol.
var cases = []string{
	"BaseUrlGreeting.test_greeting",
	"BaseUrlGreeting.test_notFound",
	"IframePage.test_simpleUrl",
	"IframePage.test_versionedUrl",
	"IframePage.test_queriedUrl",
	"IframePage.test_invalidUrl",
	"IframePage.test_cacheability",
	"InfoTest.test_basic",
	"InfoTest.test_entropy",
	"InfoTest.test_options",
	"InfoTest.test_options_null_origin",
	"InfoTest.test_disabled_websocket",
	"SessionURLs.test_anyValue",
	"SessionURLs.test_invalidPaths",
	"SessionURLs.test_ignoringServerId",
	"Protocol.test_simpleSession",
	"Protocol.test_closeSession",
	"WebsocketHttpErrors.test_httpMethod",
	"WebsocketHttpErrors.test_invalidConnectionHeader",
	"WebsocketHttpErrors.test_invalidMethod",
	"Websocket.test_transport",
	"Websocket.test_close",
	"Websocket.test_headersSanity",
	"Websocket.test_empty_frame",
	"Websocket.test_reuseSessionId",
	"Websocket.test_haproxy",
	"Websocket.test_broken_json",
	"XhrPolling.test_options",
	"XhrPolling.test_transport",
	"XhrPolling.test_invalid_session",
	"XhrPolling.test_invalid_json",
	"XhrPolling.test_content_types",
	"XhrPolling.test_request_headers_cors",
	"XhrPolling.test_sending_empty_frame",
	"XhrStreaming.test_options",
	"XhrStreaming.test_transport",
	"XhrStreaming.test_response_limit",
	"EventSource.test_transport",
	"EventSource.test_response_limit",
	"HtmlFile.test_transport",
	"HtmlFile.test_no_callback",
	"HtmlFile.test_invalid_callback",
	"HtmlFile.test_response_limit",
	"JsonPolling.test_transport",
	"JsonPolling.test_no_callback",
	"JsonPolling.test_invalid_callback",
	"JsonPolling.test_invalid_json",
	"JsonPolling.test_content_types",
	"JsonPolling.test_close",
	"JsonPolling.test_sending_empty_frame",
	"JsessionidCookie.test_basic",
	"JsessionidCookie.test_xhr",
	"JsessionidCookie.test_xhr_streaming",
	"JsessionidCookie.test_eventsource",
	"JsessionidCookie.test_htmlfile",
	"JsessionidCookie.test_jsonp",
	"RawWebsocket.test_transport",
	"RawWebsocket.test_close",
	"JSONEncoding.test_xhr_server_encodes",
	"JSONEncoding.test_xhr_server_decodes",
	"HandlingClose.test_close_frame",
	"HandlingClose.test_close_request",
	"HandlingClose.test_abort_xhr_streaming",
	"HandlingClose.test_abort_xhr_polling",
	"Http10.test_synchronous",
	"Http10.test_streaming",
	"Http11.test_synchronous",
	"Http11.test_streaming",
}

func TestEveryCaseHasAScript(t *testing.T) {
	scripts, err := loadScripts()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range cases {
		if scripts[name] == nil {
			t.Errorf("%s.txt is missing", name)
		}
	}
}

func TestScriptsNameEnginesThatThereAre(t *testing.T) {
	scripts, err := loadScripts()
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, e := range implementations {
		known[e.name] = true
	}
	for _, sc := range scripts {
		for name := range sc.differences {
			if !known[name] {
				t.Errorf("%s: there is no implementation %s", sc.file, name)
			}
		}
	}
}
