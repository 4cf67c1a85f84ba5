// Command hello stands for every program in the tests of image.
package main

func main() { println("hello") }
