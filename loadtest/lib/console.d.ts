/** What k6 offers of it and `@types/k6` does not declare. Node's and the browser's types would declare much that k6 lacks. */
declare const console: { log(message: string): void }
