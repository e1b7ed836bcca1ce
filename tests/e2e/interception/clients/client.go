// client URL TOKEN: asks twice with net/http, and prints the heads of the answers.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	for range 2 {
		request, err := http.NewRequest("GET", os.Args[1], nil)
		if err != nil {
			log.Fatal(err)
		}
		request.Header.Set("Authorization", "token "+os.Args[2])
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		os.Stdout.WriteString("HTTP/1.1 " + answer.Status + "\n")
		answer.Header.Write(os.Stdout)
		os.Stdout.WriteString("\n")
	}
}
