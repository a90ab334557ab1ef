package secret_test

import (
	"encoding/json"
	"fmt"

	"github.com/eventbus-go/eventbus/secret"
)

func ExampleValue() {
	var config struct {
		User     string
		Password secret.Value
	}
	_ = json.Unmarshal([]byte(`{"User":"orders","Password":"hunter2"}`), &config)
	fmt.Printf("%+v\n", config)
	password, err := config.Password.Reveal()
	fmt.Println(len(password), err)
	// Output:
	// {User:orders Password:[secret]}
	// 7 <nil>
}
