import t from 'tap'
import { createPasswords } from '../src/passwords.js'

t.test('a password is the one that was hashed, or not', async (t) => {
  const passwords = createPasswords()
  t.teardown(() => passwords.close())
  const hashed = await passwords.hash('schöner wohnen im kaninchenbau')
  t.match(hashed, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  t.equal(await passwords.verify(hashed, 'schöner wohnen im kaninchenbau'.normalize('NFD')), true)
  t.equal(await passwords.verify(hashed, 'another'), false)
  t.equal(await passwords.verify(undefined, 'the password of nobody'), false)
})

t.test('a hash that cannot be read is no matter of how many wait; a deadline that has passed is', async (t) => {
  const passwords = createPasswords()
  t.teardown(() => passwords.close())
  await t.rejects(passwords.verify('of no algorithm', 'a password'), /Decoding failed/)
  await t.rejects(passwords.hash('a password', Date.now() - 1), { code: 'HASHING_BUSY', statusCode: 503 })
})

t.test('strangers who sign up are refused where there is room for a login', async (t) => {
  const passwords = createPasswords()
  t.teardown(() => passwords.close())
  await passwords.hash('a first one, so that the thread is there')
  passwords.requireRoomToSignUp()
  const inAMinute = Date.now() + 60_000
  const all = Array.from({ length: 40 }, () => passwords.hash('the same for all', inAMinute))
  t.throws(() => passwords.requireRoomToSignUp(), { code: 'HASHING_BUSY', statusCode: 503 })
  passwords.requireRoom()
  await Promise.all(all)
  passwords.requireRoomToSignUp()
})

t.test('a full queue says so at once, and one that has room again takes more', async (t) => {
  const passwords = createPasswords()
  t.teardown(() => passwords.close())
  await passwords.hash('a first one, so that the thread is there')
  const started = performance.now()
  const all = Array.from({ length: 200 }, () => passwords.hash('the same for all'))
  const endings = await Promise.all(
    all.map((one) =>
      one.then(
        () => ({ code: 'hashed', ms: performance.now() - started }),
        ({ code, statusCode }: { code: string; statusCode: number }) => ({
          code: `${statusCode} ${code}`,
          ms: performance.now() - started
        })
      )
    )
  )
  const refused = endings.filter(({ code }) => code === '503 HASHING_BUSY')
  const hashed = endings.filter(({ code }) => code === 'hashed')
  t.equal(refused.length + hashed.length, 200)
  t.ok(hashed.length >= 64 && hashed.length <= 70, `${hashed.length} were hashed`)
  t.ok(Math.max(...refused.map(({ ms }) => ms)) < Math.min(...hashed.map(({ ms }) => ms)) + 100, 'refused first')
  t.match(await passwords.hash('there is room again'), /^\$argon2id/)
})
