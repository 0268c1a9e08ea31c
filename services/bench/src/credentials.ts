import { hashSync } from '@node-rs/argon2'
import { LocalError } from '@one-secret/local'
import type pg from 'pg'
import type { Form } from './forms.js'
import type { Header } from './steady.js'
import type { Signer } from './tokens.js'

/** How many tokens, or sessions, are asked again and again. */
export const REPEATED = 100

const USERNAME = 'bench'
const PASSWORD = 'correct horse battery staple'

/** A password hash that costs next to nothing: a login is not what is measured. */
const CHEAP = { memoryCost: 8, timeCost: 1, parallelism: 1 }

/** The one user, who logs in a hundred times. */
export async function addUser(pool: pg.Pool): Promise<void> {
  await pool.query('INSERT INTO users (username, password_hash) VALUES ($1, $2)', [USERNAME, hashSync(PASSWORD, CHEAP)])
}

async function logIn(url: string): Promise<Header> {
  const response = await fetch(`${url}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: USERNAME, password: PASSWORD })
  })
  if (response.status !== 200) throw new LocalError(`a login was answered with ${response.status}`)
  return [
    'cookie',
    response.headers
      .getSetCookie()
      .map((one) => one.split(';', 1)[0])
      .join('; ')
  ]
}

/** Headers for so many requests: fresh ones each time, for a token lives for a quarter of an hour. */
export async function makeCredentials(form: Form, url: string, signer: Signer, requests: number): Promise<Header[]> {
  switch (form.brings) {
    case 'nothing':
      return [['accept', '*/*']]
    case 'session': {
      const headers: Header[] = []
      for (let i = 0; i < REPEATED; i++) headers.push(await logIn(url))
      return headers
    }
    default: {
      const count = form.brings === 'repeat' ? REPEATED : requests
      const bearer = (token: string): Header => ['authorization', `Bearer ${token}`]
      return signer.sign(count, form.tokens ?? 'api').map(bearer)
    }
  }
}
