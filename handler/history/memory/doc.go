// Package memory keeps history in memory, bounded: it ends with the process.
package memory
