import t from 'tap'
import { HELP, parseOptions } from '../dist/options.js'

t.test('without options every form is measured', async (t) => {
  t.match(parseOptions([]), { mode: 'forms', rounds: 5, seconds: 5, rate: 500, quick: false })
  t.equal(parseOptions([]).forms.length, 10)
})

t.test('--quick measures fewer, for a shorter time, three times', async (t) => {
  const { forms, rounds, seconds } = parseOptions(['--quick'])
  t.ok(forms.length < 10)
  t.strictSame([rounds, seconds], [3, 1])
  t.strictSame(parseOptions(['--quick', '--forms', 'bare,lease']).forms, ['bare', 'lease'])
})

t.test('growth, by either name, and nginx', async (t) => {
  t.equal(parseOptions(['growth']).mode, 'growth')
  t.equal(parseOptions(['--growth']).mode, 'growth')
  t.equal(parseOptions(['--nginx']).mode, 'nginx')
})

t.test('what cannot be is said in one line, with exit code 2', async (t) => {
  for (const args of [
    ['--forms', 'nobody'],
    ['--rounds', '0'],
    ['--rate', 'x'],
    ['--what'],
    ['grow'],
    ['--growth', '--nginx']
  ]) {
    t.throws(() => parseOptions(args), { name: 'LocalError', exitCode: 2, message: /--help/ }, args.join(' '))
  }
})

t.test('the help names every option that there is', async (t) => {
  for (const option of ['growth', 'nginx', 'quick', 'forms', 'rounds', 'seconds', 'rate', 'output', 'help']) {
    t.match(HELP, new RegExp(`--${option}\\b`))
  }
})
