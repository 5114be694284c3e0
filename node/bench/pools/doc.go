// Command pools shows what each pool of a request's way is worth (`make bench-pools`): the same work with it and without
// in one run, by the benchmarks named BenchmarkPool of the packages that have pools. A pool that saves neither
// processors' time nor memory is to be taken out.
//
// It starts `go test` in the repository and imports no room.
package main
