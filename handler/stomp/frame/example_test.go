package frame_test

import (
	"fmt"

	"switchback/handler/stomp/frame"
)

// Bytes come as the network cuts them.
func ExampleDecoder() {
	d := frame.Decoder{Limits: &frame.Limits{Frame: 1024, Body: 512, HeaderBytes: 256, Headers: 8}, Version: frame.V12}
	for _, piece := range []string{"SEND\ndestina", "tion:/topic/a\n\nhello\x00\nSEND\ndestination:/topic/b\n", "\nworld\x00"} {
		d.Feed([]byte(piece))
		for {
			var f frame.Frame
			ok, err := d.Next(&f)
			if err != nil {
				fmt.Println(err) // and the connection ends
				return
			}
			if !ok {
				break
			}
			fmt.Println(f.Command, f.Headers.Value("destination"), string(f.Body))
		}
	}
	// Output:
	// SEND /topic/a hello
	// SEND /topic/b world
}
