"""A page of Horizon in headless Chromium: its tables, forms, and messages."""

import io
import shutil
import time

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

PATIENCE = 40  # seconds to wait for anything that should take a few
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1280,760"]
COLOURS = 64
LARGEST_PICTURE = 150_000  # bytes

ROWS = """
const table = document.getElementById(arguments[0]);
if (!table) return null;
const texts = cells => [...cells].map(cell => cell.innerText.trim());
const heads = texts(table.querySelectorAll('thead tr.table_column_header th'));
return [...table.querySelectorAll('tbody tr[data-object-id]')].map(row => Object.assign(
    Object.fromEntries(texts(row.cells).map((text, index) => [heads[index], text])),
    {id: row.dataset.objectId}));
"""
DETAILS = """
return Object.fromEntries([...document.querySelectorAll('.detail dt')].map(
    term => [term.innerText.trim(), term.nextElementSibling.innerText.trim()]));
"""
STILL = """
const style = document.createElement('style');
style.textContent = '* { caret-color: transparent !important; animation: none !important; transition: none !important; }';
document.head.append(style);
"""


class Browser:
    """A browser that is signed in at a dashboard."""

    def __init__(self, base):
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for option in OPTIONS:
            options.add_argument(option)
        self.base = base
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    # Waiting.

    def wait(self, what, condition):
        """Waits until a condition returns something that is true, and returns it. Fails with what it waited for."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                found = condition()
            except (StaleElementReferenceException, WebDriverException):
                found = None
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"there is no {what} after {PATIENCE} s; the page says: {self.text()[:1500]!r}")
            time.sleep(0.1)

    def find(self, selector, parent=None):
        """Waits for a visible element and returns it."""
        visible = lambda: [own for own in (parent or self.driver).find_elements(By.CSS_SELECTOR, selector) if own.is_displayed()]
        return self.wait(f"visible {selector}", visible)[0]

    def click(self, selector, parent=None):
        """Clicks a visible element. It is clicked again while something that moves is in front of it."""
        self.wait(f"{selector} that can be clicked", lambda: self.find(selector, parent).click() or True)

    # Pages.

    def open(self, path):
        self.driver.get(f"{self.base}{path}")

    def path(self):
        return self.driver.current_url.removeprefix(self.base)

    def text(self):
        return self.driver.find_element(By.TAG_NAME, "body").text

    def sign_in(self, user, password):
        """Signs in with an empty store of cookies."""
        self.open("/auth/login/")
        self.driver.delete_all_cookies()
        self.open("/auth/login/")
        self.find("#id_username").send_keys(user)
        self.find("#id_password").send_keys(password)
        self.click("#loginBtn")
        self.wait("page after the sign-in", lambda: "/auth/login" not in self.path())

    def loads_again(self, act):
        """Does something that makes the browser load a page, and waits for that."""
        self.driver.execute_script("window.sameDocument = true")
        act()
        self.wait("new page", lambda: not self.driver.execute_script("return window.sameDocument"))

    def errors(self):
        """Returns the messages of errors and warnings that the page shows."""
        found = self.driver.find_elements(By.CSS_SELECTOR, ".alert-danger, .alert-warning, .has-error .help-block")
        return [own.text for own in found if own.text.strip()]

    def wait_for_message(self, expected):
        """Waits for a message that contains this string."""
        messages = lambda: [own.text for own in self.driver.find_elements(By.CSS_SELECTOR, ".alert")]
        self.wait(f"message {expected!r}", lambda: any(expected in text for text in messages()))

    def details(self):
        """Returns the terms of a page of details, with their values."""
        self.find(".detail dt")
        return self.driver.execute_script(DETAILS)

    def open_tab(self, label, expected):
        """Opens a tab of a page of details, which is loaded at the first click, and waits for a string in it."""
        tab = self.wait(f"tab {label}", lambda: self.driver.find_elements(By.LINK_TEXT, label)[-1:])[0]
        tab.click()
        pane = tab.get_attribute("data-target")
        self.wait(f"{expected!r} in {label}", lambda: expected in self.find(pane).text)

    # Tables.

    def rows(self, table):
        """Returns the rows of a table, each as a dictionary with the texts of its columns, and its `id`."""
        found = self.wait(f"table {table}", lambda: [self.driver.execute_script(ROWS, table)])
        assert found[0] is not None, f"the page has no table {table}: {self.text()[:1500]!r}"
        return found[0]

    def names(self, table):
        return [row["Name"] for row in self.rows(table)]

    def row(self, table, name):
        found = [row for row in self.rows(table) if row["Name"] == name]
        assert len(found) == 1, f"{len(found)} rows of {table} have the name {name}: {self.rows(table)}"
        return found[0]

    def wait_for_status(self, table, name, *statuses):
        """Waits until the page, without being loaded again, has shown these statuses of a row, one after the other."""
        self.driver.execute_script("window.sameDocument = true")
        for status in statuses:
            self.wait(f"status {status} of {name}", lambda: self.row(table, name)["Status"] == status)
        assert self.driver.execute_script("return window.sameDocument"), "the page was loaded again"

    def wait_until_gone(self, table, *names):
        """Waits until the page, without being loaded again, shows no such rows any more."""
        self.driver.execute_script("window.sameDocument = true")
        self.wait(f"table without {names}", lambda: not set(names) & set(self.names(table)))
        assert self.driver.execute_script("return window.sameDocument"), "the page was loaded again"

    def open_row(self, table, name):
        """Opens the page of details of a row."""
        row = f"#{table}__row__{self.row(table, name)['id']}"
        self.loads_again(lambda: self.click(f"{row} td.anchor a, {row} td a"))

    def actions(self, table, name):
        """Returns the labels of the actions of a row, with their elements. Opens the menu if there is one."""
        row = self.driver.find_element(By.ID, f"{table}__row__{self.row(table, name)['id']}")
        menu = row.find_elements(By.CSS_SELECTOR, ".dropdown-toggle")
        if menu and "open" not in menu[0].find_element(By.XPATH, "..").get_attribute("class").split():
            menu[0].click()
        return {own.text: own for own in row.find_elements(By.CSS_SELECTOR, ".actions_column [id*='__action_']")}

    def act(self, table, name, action):
        """Chooses an action of a row."""
        self.wait(f"{action} of {name}", lambda: self.actions(table, name)[action].click() or True)

    def select(self, table, name):
        """Ticks the box of a row."""
        self.click(f"#{table}__row__{self.row(table, name)['id']} .multi_select_column label")

    def filter(self, table, field, value):
        """Filters a table, and waits for the page with the result."""
        prefix = f"{table}__{table}_filter__q"
        if not self.driver.find_elements(By.NAME, prefix):
            prefix = self.find(f"#{table} .table_search input").get_attribute("name")
        self.choose(f"select[name='{prefix}_field']", field)
        self.fill({prefix: value})
        self.loads_again(lambda: self.click(f"#{table} .table_search button[type=submit]"))

    # Forms.

    def form(self, title):
        """Waits for the form of an action and returns its element."""
        titles = lambda: [own.text for own in self.driver.find_elements(By.CSS_SELECTOR, ".modal-title")]
        self.wait(f"form {title}", lambda: title in titles())
        return self.find(".modal-content")

    def fill(self, values):
        """Fills fields of the form, by name."""
        for name, value in values.items():
            field = self.find(f"[name='{name}']")
            field.clear()
            field.send_keys(value)

    def choices(self, name):
        """Returns the labels of a choice of the form, which Horizon draws itself."""
        options = self.driver.find_elements(By.CSS_SELECTOR, f"select[name='{name}'] option")
        return [own.get_attribute("textContent").strip() for own in options]

    def choose(self, select, label):
        """Chooses a label of a choice."""
        hidden = self.driver.find_element(By.CSS_SELECTOR, select)
        drawn = hidden.find_element(By.XPATH, "./ancestor::div[contains(@class, 'themable-select')]")
        self.click("button", drawn)
        for item in drawn.find_elements(By.CSS_SELECTOR, "li a"):
            if item.text.strip() == label:
                item.click()
                return
        raise AssertionError(f"{select} has no {label}")

    def submit(self):
        """Submits the form, and waits for its end."""
        self.click(".modal-footer .btn-primary, .modal-footer .btn-danger")
        self.wait("end of the form", lambda: not self.driver.find_elements(By.CSS_SELECTOR, ".modal-content"))

    def change_metadata(self, add=(), change=(), remove=()):
        """Changes metadata in the open form, which is one of AngularJS, and returns what it had shown."""
        item = "metadata-tree-item"
        self.find("input[name=customItem]")
        shown = {}
        for own in self.driver.find_elements(By.CSS_SELECTOR, item):
            key = own.find_element(By.CSS_SELECTOR, ".input-group-addon").text
            shown[key] = own.find_element(By.CSS_SELECTOR, "input").get_attribute("value")
        of_key = lambda key: self.wait(
            f"item {key}",
            lambda: [
                own
                for own in self.driver.find_elements(By.CSS_SELECTOR, item)
                if own.find_element(By.CSS_SELECTOR, ".input-group-addon").text == key
            ],
        )[0]
        for key in remove:
            of_key(key).find_element(By.CSS_SELECTOR, ".input-group-btn .btn").click()
        for key, value in dict(add).items():
            self.fill({"customItem": key})
            self.click("[ng-form=customItemForm] .btn")
            of_key(key).find_element(By.CSS_SELECTOR, "input").send_keys(value)
        for key, value in dict(change).items():
            field = of_key(key).find_element(By.CSS_SELECTOR, "input")
            field.clear()
            field.send_keys(value)
        return shown

    def picture(self, path, height=None):
        """Writes a picture of the upper part of the page, without anything that blinks or moves."""
        self.driver.execute_script(STILL)
        with Image.open(io.BytesIO(self.driver.get_screenshot_as_png())) as image:
            cropped = image.convert("RGB").crop((0, 0, image.width, min(height or image.height, image.height)))
        cropped.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        size = path.stat().st_size
        assert size < LARGEST_PICTURE, f"{path.name} has {size} bytes"
