// Command plain is an ordinary program.
package main

func main() {}
