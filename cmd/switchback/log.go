package main

import (
	"io"
	stdlog "log"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// Of lines with the same message, linesPerPeriod are written in each logPeriod, so
// that no client can fill the log. Counters count them all. At level debug all are
// written.
const (
	linesPerPeriod = 100
	logPeriod      = time.Minute
)

// logFormats are what a line of the log may be: for people to read, or for programs.
var logFormats = map[string]func() zapcore.Encoder{
	"text": func() zapcore.Encoder {
		encoding := zap.NewDevelopmentEncoderConfig()
		encoding.ConsoleSeparator = " "
		return zapcore.NewConsoleEncoder(encoding)
	},
	"json": func() zapcore.Encoder { // with the keys of slog.JSONHandler
		encoding := zap.NewProductionEncoderConfig()
		encoding.TimeKey = "time"
		encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
		encoding.EncodeDuration = zapcore.StringDurationEncoder
		return zapcore.NewJSONEncoder(encoding)
	},
}

// newLogger writes lines in a format of logFormats.
func newLogger(w io.Writer, format string, level zapcore.Level) *zap.Logger {
	sink := zapcore.Lock(zapcore.AddSync(w))
	core := zapcore.NewCore(logFormats[format](), sink, level)
	if level > zapcore.DebugLevel {
		left := &leftOut{log: zap.New(core), lines: make(map[string]int)}
		core = zapcore.NewSamplerWithOptions(core, logPeriod, linesPerPeriod, 0, zapcore.SamplerHook(left.sampled))
	}
	return zap.New(core)
}

// leftOut counts the lines that are not written, and says how many those were.
type leftOut struct {
	log *zap.Logger

	mu    sync.Mutex
	lines map[string]int // by message, of which the program has a few dozen
}

func (l *leftOut) sampled(e zapcore.Entry, d zapcore.SamplingDecision) {
	if d&zapcore.LogDropped == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		time.AfterFunc(logPeriod, l.tell)
	}
	l.lines[e.Message]++
}

// tell runs on its timer's goroutine, which ends with it.
func (l *leftOut) tell() {
	l.mu.Lock()
	lines := l.lines
	l.lines = make(map[string]int)
	l.mu.Unlock()
	for message, n := range lines {
		l.log.Warn("lines left out of the log", zap.String("of", message), zap.Int("lines", n))
	}
}

// slogOf is a logger as the packages of the library take it.
func slogOf(log *zap.Logger) *slog.Logger {
	return slog.New(zapslog.NewHandler(log.Core(), zapslog.AddStacktraceAt(math.MaxInt)))
}

// errorLog takes what http.Server has to say. Most of it is of clients that did not
// speak TLS or HTTP: that is one message, so that it is sampled. Faults of the server's
// own are others, which clients do not crowd out.
func errorLog(log *zap.Logger) *stdlog.Logger { return stdlog.New(httpLines{log}, "", 0) }

type httpLines struct{ log *zap.Logger }

func (l httpLines) Write(line []byte) (int, error) {
	said := zap.String("said", strings.TrimSpace(string(line)))
	switch text := string(line); {
	case strings.HasPrefix(text, "http: panic"):
		l.log.Error("http: panic", said)
	case strings.HasPrefix(text, "http: Accept error"), strings.HasPrefix(text, "netpoll:"):
		l.log.Error("http: accepting failed", said)
	default:
		l.log.Warn("http", said)
	}
	return len(line), nil
}
