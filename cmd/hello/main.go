// Hello greets the world and says where it runs.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Println("Hello, world!")
	fmt.Printf("%s %s/%s, CPUs: %d, arguments: %q\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), os.Args[1:])
}
