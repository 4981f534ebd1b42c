package enginetest

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// tried counts the ports that FreeAddress has tried.
var tried atomic.Int64

// FreeAddress is one of this machine that nobody gets, also while who listens there is away:
// its port is none that a system gives to who asks for any (Linux: from 32768), and given once.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := 20000 + (int64(os.Getpid())*100+tried.Add(1))%10000
		if ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			ln.Close()
			return ln.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}
