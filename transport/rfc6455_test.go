package transport

import (
	"bytes"
	"testing"
)

// RFC 6455, section 5.3: octet i of the payload is masked with octet i mod 4 of
// the key.
func TestPayloadIsUnmasked(t *testing.T) {
	mask := []byte{0x37, 0xfa, 0x21, 0x3d}
	for size := range 70 {
		want := bytes.Repeat([]byte("Hello, SockJS! "), 5)[:size]
		frame := append([]byte{0x81, 0x80 | byte(size)}, mask...)
		for i, c := range want {
			frame = append(frame, c^mask[i%4])
		}
		sent := bytes.Clone(frame)
		got := head{masked: true, header: 6, size: size}.appendPayload([]byte("before "), frame)
		if string(got) != "before "+string(want) || !bytes.Equal(frame, sent) {
			t.Errorf("%d bytes: got %q, want %q", size, got, want)
		}
	}
}
