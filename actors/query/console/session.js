// SPDX-License-Identifier: Apache-2.0
// Who looks: logs in with a password or a key, shows whose eyes these are, logs out. What the role may not see is not shown.

let session = { authenticated: false };
let showsLogin = false;

const mayRead = () => session.role !== 'operator';
const ROLE_MAY = {
  viewer: 'You read the telemetry of your tenant.',
  editor: 'You read the telemetry of your tenant.',
  admin: 'You read the telemetry of your tenant, and look after its users and keys.',
  operator: 'You run the platform. Operators read no telemetry: services, traces and logs are for the tenants themselves.',
  'local operator': 'Development mode: whoever is on this machine is operator, and admin of tenant default.',
};

// ---- the page that asks who it is ----

function sayLogin(text, bad) {
  setText('login-note', text);
  $('login-note').classList.toggle('bad', Boolean(bad));
}

function showLogin(why) {
  if (!showsLogin) {
    showsLogin = true;
    document.body.classList.add('asks');
    $('login').hidden = false;
    $('login-tenant').value = localStorage.getItem('tenant') ?? '';
    $('login-user').value = localStorage.getItem('user') ?? '';
    $('login-password').value = '';
    ($('login-tenant').value ? ($('login-user').value ? $('login-password') : $('login-user')) : $('login-tenant')).focus();
  }
  $('login-dev').hidden = session.mode !== 'development';
  $('login-provider').hidden = session.provider === undefined;
  setText('provider-name', session.provider ?? '');
  if (why !== undefined) sayLogin(why, why !== '');
}

function hideLogin() {
  showsLogin = false;
  document.body.classList.remove('asks');
  $('login').hidden = true;
  sayLogin('', false);
}

let waitTimer;
// Too many attempts: the button says when it may be tried again.
function waitFor(seconds) {
  clearInterval(waitTimer);
  let left = seconds;
  const tell = () => {
    $('login-go').disabled = left > 0;
    setText('login-go', left > 0 ? `Try again in ${left} s` : 'Log in');
    if (left-- <= 0) clearInterval(waitTimer);
  };
  tell();
  waitTimer = setInterval(tell, 1000);
}

async function logIn() {
  const who = { tenant: $('login-tenant').value.trim(), user: $('login-user').value.trim(), password: $('login-password').value };
  $('login-go').disabled = true;
  setText('login-go', 'Logging in …');
  sayLogin('', false);
  let wait = 0;
  try {
    sessionStorage.removeItem('key');
    const { status, body, retry } = await askAny('/api/v1/login', post(who));
    if (status === 200) {
      localStorage.setItem('tenant', who.tenant);
      localStorage.setItem('user', who.user);
      await begin();
      const last = body.last_login ? `Last login ${new Date(body.last_login).toLocaleString()} from ${body.last_login_from}.` : 'This is the first login of this user.';
      toast(`${last} Was that you? If not, change the password.`);
      return;
    }
    wait = status === 429 ? retry : 0;
    sayLogin(body?.error?.message ? `${body.error.message[0].toUpperCase()}${body.error.message.slice(1)}.` : `The server answered ${status}.`, true);
  } catch (e) {
    sayLogin(`${e.message[0].toUpperCase()}${e.message.slice(1)}.`, true);
  } finally {
    waitFor(wait);
  }
  $('login-password').select();
}

async function useKey() {
  sessionStorage.setItem('key', $('key').value.trim());
  $('key').value = '';
  if (!(await begin())) {
    sessionStorage.removeItem('key');
    sayLogin('This key is unknown, expired or revoked.', true);
  }
}

// ---- the account, in the corner ----

function toast(text) {
  setText('toast', text);
  $('toast').hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { $('toast').hidden = true; }, 12000);
}

function drawAccount() {
  const name = session.user ?? (sessionStorage.getItem('key') ? 'API key' : '');
  $('account').hidden = name === '';
  setText('account-name', name);
  setText('account-initial', name.slice(0, 1).toUpperCase());
  setText('account-of', `${session.role} of ${session.tenant}`);
  setText('account-may', ROLE_MAY[session.role] ?? '');
  $('password-open').hidden = !session.user;
  document.body.classList.toggle('no-telemetry', !mayRead());
}

async function logOut() {
  $('account').open = false;
  sessionStorage.removeItem('key');
  if (session.user) await askAny('/api/v1/logout', post({})).catch(() => {});
  location.reload(); // nothing of what was shown stays
}

async function changePassword() {
  const fresh = $('password-new').value;
  if (fresh !== $('password-again').value) {
    note('password-note', 'The two new passwords differ.', true);
    return;
  }
  try {
    const { status, body } = await askAny('/api/v1/session/password', post({ old: $('password-old').value, new: fresh }));
    if (status !== 200) throw new Refused(status, body);
    $('password').close();
    session = { authenticated: false, mode: session.mode };
    showLogin('');
    sayLogin('The password is changed, and every session has ended. Log in with the new one.', false);
  } catch (e) {
    note('password-note', e.message, true);
  }
}

// ---- the beginning ----

const CAME_BACK = {
  refused: 'The login through the provider was refused. Begin it again.',
  unavailable: 'The provider does not answer. Try again later, or log in with a password.',
  'no-access': 'The provider knows you, but gives you no access here: no tenant, no role, or another user has your name. Ask an admin of your tenant.',
  later: 'Too many attempts. Try again in a minute.',
};

// What the provider's way back says, once.
function cameBack() {
  const word = new URLSearchParams(location.hash.slice(1)).get('login');
  if (word !== null) history.replaceState(null, '', location.pathname);
  return CAME_BACK[word];
}

// Asks who looks; true when that is somebody, and then what he may see is shown.
async function begin() {
  const { status, body } = await askAny('/api/v1/session');
  if (status !== 200) {
    session = { authenticated: false };
    showLogin(status === 401 ? undefined : body?.error?.message);
    return false;
  }
  session = body;
  if (!session.authenticated) {
    showLogin(cameBack());
    return false;
  }
  hideLogin();
  drawAccount();
  moved = true;
  refresh();
  return true;
}

// Another tab has logged out, or the time is over.
function sessionEnded() {
  if (showsLogin) return;
  const had = session.user !== undefined;
  session = { authenticated: false, mode: session.mode };
  showLogin(had ? 'The session has ended. Log in again.' : undefined);
}

for (const [id, act] of [['login-form', logIn], ['key-form', useKey], ['password-form', changePassword]])
  $(id).addEventListener('submit', (e) => { e.preventDefault(); act(); });
$('login-show').addEventListener('click', () => {
  const field = $('login-password');
  const shows = field.type === 'password';
  field.type = shows ? 'text' : 'password';
  setText('login-show', shows ? 'Hide' : 'Show');
  $('login-show').setAttribute('aria-pressed', shows);
  field.focus();
});
$('login-password').addEventListener('keyup', (e) => { $('login-caps').hidden = !e.getModifierState?.('CapsLock'); });
$('logout').addEventListener('click', logOut);
$('password-open').addEventListener('click', () => {
  $('account').open = false;
  for (const id of ['password-old', 'password-new', 'password-again']) $(id).value = '';
  $('password-user').value = session.user;
  note('password-note', '');
  $('password').showModal();
});
$('password-cancel').addEventListener('click', () => $('password').close());
document.addEventListener('click', (e) => { if (!$('account').contains(e.target)) $('account').open = false; });
